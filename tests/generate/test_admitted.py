"""A model's servers get no more answers at once than set; who has no place is answered by another, or at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.config import EngineSettings, GenerateSettings
from penstock.core.context import start_context
from penstock.core.types import Chunk, Hit, Principal, Prompt
from penstock.generate.extractive import ExtractiveGenerator
from penstock.generate.generation import Generation

PLACES = 3


@pytest.fixture
async def slow() -> AsyncIterator[FakeLLM]:
    server = FakeLLM(behaviour=Behaviour(answer="From the slow one.", first_token_ms=250.0))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def quick() -> AsyncIterator[FakeLLM]:
    server = FakeLLM(behaviour=Behaviour(answer="From the quick one."))
    await server.start()
    yield server
    await server.stop()


async def answers(servers: dict[str, FakeLLM], asked: int, *, timeout_s: float = 20.0) -> list[str]:
    """What `asked` callers of the first model are told, who come together."""
    names = list(servers)
    engines = tuple(
        EngineSettings(
            model=name, urls=(server.url,), max_in_flight=PLACES, fallback=tuple(names[1:]) if not at else ()
        )
        for at, (name, server) in enumerate(servers.items())
    )
    generation = Generation(
        settings=GenerateSettings(engines=engines), environ={}, last_resort=ExtractiveGenerator(), on_death=_fail
    )
    await generation.start()
    chunk = Chunk(id="chunk_1", position=0, text="The mill was built in 1823 by Anna Keller.")
    hit = Hit(
        store_id="vs_1", file_id="file_1", filename="a.md", title="Mill", score=0.9, dense=0.9, lexical=9.0, chunk=chunk
    )
    prompt = Prompt(question="When was the mill built?", passages=(hit,))

    async def ask() -> str:
        ctx = start_context(principal=Principal(tenant="t"), timeout_s=timeout_s)
        routed = generation.router.choose(names[0], prompt, ctx)
        return "".join([delta.text async for delta in routed.generator.generate(prompt, ctx)])

    try:
        return list(await asyncio.gather(*(ask() for _ in range(asked))))
    finally:
        await generation.stop()


def _fail(name: str, error: BaseException) -> None:
    raise AssertionError(name) from error


async def test_a_place_that_comes_free_in_time_is_waited_for(slow: FakeLLM) -> None:
    said = await answers({"slow": slow}, 2 * PLACES)

    assert said == ["From the slow one."] * 2 * PLACES
    assert slow.most_in_use == PLACES


async def test_who_would_wait_too_long_is_answered_by_the_fallback(slow: FakeLLM, quick: FakeLLM) -> None:
    slow.behaviour.first_token_ms = 1_500.0

    said = await answers({"slow": slow, "quick": quick}, 2 * PLACES)

    assert sorted(said) == ["From the quick one."] * PLACES + ["From the slow one."] * PLACES
    assert slow.most_in_use == PLACES


async def test_at_the_end_of_the_chain_sentences_are_quoted(slow: FakeLLM) -> None:
    slow.behaviour.first_token_ms = 1_500.0

    said = await answers({"slow": slow}, PLACES + 1)

    assert said.count("From the slow one.") == PLACES
    assert any("1823" in answer for answer in said)
