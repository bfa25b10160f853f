import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from penstock.core.context import Context, start_context
from penstock.core.errors import DeadlineExceeded, ModelMissing, StageUnavailable
from penstock.core.types import Message, Principal, Prompt, Sampling

pytest.importorskip("openvino_genai", reason="needs penstock[local]")

from penstock.generate.local import LocalGenerator, LocalSettings

TINY = str(Path(__file__).parent / "tiny_llama" / "openvino")


def prompt_of(text: str, **sampling: object) -> Prompt:
    return Prompt(
        question=text, passages=(), messages=(Message(role="user", content=text),), sampling=Sampling(**sampling)
    )


def context(timeout_s: float = 20.0) -> Context:
    return start_context(principal=Principal(), timeout_s=timeout_s)


async def answer(engine: LocalGenerator, prompt: Prompt) -> str:
    return "".join([delta.text async for delta in engine.generate(prompt, context())])


async def freed(engine: LocalGenerator) -> None:
    async with asyncio.timeout(2.0):
        while engine.sequences:
            await asyncio.sleep(0.001)


@pytest.fixture
async def engine() -> AsyncIterator[LocalGenerator]:
    made = LocalGenerator(model="tiny", source=TINY)
    await made.start()
    yield made
    await made.stop()


async def test_leaving_frees_the_sequence_at_the_next_step(engine: LocalGenerator) -> None:
    async with aclosing(engine.generate(prompt_of("go on", max_tokens=4000), context())) as deltas:
        await anext(deltas)
        assert engine.sequences == 1

    await freed(engine)


async def test_the_deadline_ends_an_answer_and_frees_its_sequence(engine: LocalGenerator) -> None:
    with pytest.raises(DeadlineExceeded):
        async for _ in engine.generate(prompt_of("go on", max_tokens=4000), context(timeout_s=0.2)):
            pass

    await freed(engine)


async def test_the_limit_of_tokens_is_kept_and_named(engine: LocalGenerator) -> None:
    last = [delta async for delta in engine.generate(prompt_of("hello", max_tokens=5), context())][-1]

    assert last.finish == "length"
    assert last.usage is not None
    assert last.usage.output == 5


async def test_a_stop_text_ends_the_answer_before_it(engine: LocalGenerator) -> None:
    whole = await answer(engine, prompt_of("hello", max_tokens=48))
    stop = whole[10:14]

    cut = await answer(engine, prompt_of("hello", max_tokens=48, stop=(stop,)))

    assert cut == whole[: whole.index(stop)]
    await freed(engine)


async def test_a_draft_model_changes_nothing_in_a_greedy_answer(engine: LocalGenerator) -> None:
    drafted = LocalGenerator(model="tiny", source=TINY, settings=LocalSettings(draft=TINY))
    await drafted.start()

    plain = await answer(engine, prompt_of("What is a penstock?", max_tokens=24))
    quick = await answer(drafted, prompt_of("What is a penstock?", max_tokens=24))

    assert quick == plain
    await drafted.stop()


async def test_stopping_ends_what_is_under_way(engine: LocalGenerator) -> None:
    deltas = engine.generate(prompt_of("go on", max_tokens=4000), context())
    await anext(deltas)
    await engine.stop()

    with pytest.raises(StageUnavailable):
        async for _ in deltas:
            pass
    with pytest.raises(StageUnavailable):
        await answer(engine, prompt_of("hello"))


async def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"tokenizer\.json"):
        await LocalGenerator(model="none", source=str(tmp_path)).start()
