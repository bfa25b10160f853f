"""What every Generator does, whichever engine is behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.core.context import Context, start_context
from penstock.core.errors import DeadlineExceeded
from penstock.core.ports import Generator
from penstock.core.types import Chunk, Hit, Message, Principal, Prompt, Sampling
from penstock.generate.extractive import ExtractiveGenerator
from penstock.generate.openai import OpenAIGenerator

TINY = Path(__file__).parents[1] / "generate" / "tiny_llama" / "openvino"

PASSAGES = tuple(
    Hit(
        store_id="vs_1",
        file_id=f"file_{place}",
        filename=f"{place}.md",
        title="Mills",
        score=1.0 - place / 10,
        dense=0.8 - place / 10,
        lexical=9.0 - place,
        chunk=Chunk(id=f"chunk_{place}", position=0, text=text, tokens=20),
    )
    for place, text in enumerate(
        (
            "A penstock is a pipe that carries water under pressure to a turbine. A gate governs its flow.",
            "The oldest mill of the valley was built in 1823 by Anna Keller. It ground rye until 1901.",
        )
    )
)


def prompt_of(question: str = "What is a penstock?", **sampling: object) -> Prompt:
    return Prompt(
        question=question,
        passages=PASSAGES,
        messages=(
            Message(role="system", content="Answer from the passages."),
            Message(role="user", content=f"{PASSAGES[0].chunk.text}\n\n{question}"),
        ),
        # A real model that loops would else go on to the end of its context.
        sampling=Sampling(**{"max_tokens": 48, **sampling}),
    )


def context(timeout_s: float = 30.0) -> Context:
    return start_context(principal=Principal(), timeout_s=timeout_s)


@pytest.fixture(params=["extractive", "openai", "openai-whole", "openai-completions", "local"])
async def generator(request: pytest.FixtureRequest) -> AsyncIterator[Generator]:
    if request.param == "extractive":
        yield ExtractiveGenerator()
        return
    if request.param == "local":
        local = pytest.importorskip("penstock.generate.local", reason="needs penstock[local]", exc_type=ImportError)
        engine = local.LocalGenerator(model="tiny", source=str(TINY), settings=local.LocalSettings(max_tokens=32))
        await engine.start()
        yield engine
        await engine.stop()
        return
    server = FakeLLM(behaviour=Behaviour(token_ms=1.0))
    await server.start()
    kind = {"openai": {}, "openai-whole": {"streamed": False}, "openai-completions": {"api": "completions"}}
    engine = OpenAIGenerator(model="fake", url=server.url, **kind[request.param])
    await engine.start()
    yield engine
    await engine.stop()
    await server.until(lambda: server.slots_in_use == 0)
    await server.stop()


async def test_only_the_last_delta_has_a_finish_and_it_has_usage(generator: Generator) -> None:
    deltas = [delta async for delta in generator.generate(prompt_of(), context())]

    assert [delta.finish for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert deltas[-1].finish in ("stop", "length")
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.output > 0
    assert "".join(delta.text for delta in deltas).strip()


async def test_the_same_prompt_with_the_same_seed_gives_the_same_answer(generator: Generator) -> None:
    async def answer() -> str:
        deltas = generator.generate(prompt_of(temperature=0.0, seed=7, max_tokens=24), context())
        return "".join([delta.text async for delta in deltas])

    assert await answer() == await answer()


async def test_answers_run_beside_each_other(generator: Generator) -> None:
    async def answer() -> str:
        return "".join([delta.text async for delta in generator.generate(prompt_of(temperature=0.0), context())])

    # Not the same words: what shares a batch with a sequence moves its rounding, and with it the tiny model's choice.
    assert all(await asyncio.gather(*(answer() for _ in range(16))))


async def test_a_request_whose_time_is_up_is_not_started(generator: Generator) -> None:
    with pytest.raises(DeadlineExceeded):
        async for _ in generator.generate(prompt_of(), context(timeout_s=0.0)):
            pass


async def test_closing_early_leaves_the_engine_usable(generator: Generator) -> None:
    for _ in range(5):
        async with aclosing(generator.generate(prompt_of(), context())) as deltas:  # type: ignore[type-var]
            await anext(deltas)

    assert [delta async for delta in generator.generate(prompt_of(), context())][-1].finish is not None


async def test_a_generator_has_a_name(generator: Generator) -> None:
    assert generator.model
