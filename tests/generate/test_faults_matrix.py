"""Check 14: every way in which an engine breaks ends typed, in time, and never as a whole answer."""

import asyncio
import os
import time

import pytest

from penstock.bench.fake_behaviour import FAULTS, Fault
from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.core.context import start_context
from penstock.core.errors import DeadlineExceeded, Overloaded, PenstockError, StageUnavailable
from penstock.core.types import Delta, Message, Principal, Prompt
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.stream import Limits

TIMES = int(os.environ.get("PENSTOCK_FAULT_REPEATS", "3"))
DEADLINE_S = 0.4
LIMITS = Limits(connect_s=0.3, first_token_s=0.3, between_tokens_s=0.3)
PROMPT = Prompt(question="why?", passages=(), messages=(Message(role="user", content="why?"),))


async def outcome(engine: OpenAIGenerator) -> tuple[list[Delta], PenstockError | None, float]:
    began_s = time.perf_counter()
    deltas: list[Delta] = []
    try:
        async for delta in engine.generate(PROMPT, start_context(principal=Principal(), timeout_s=DEADLINE_S)):
            deltas.append(delta)  # noqa: PERF401 - what came before an error counts
    except PenstockError as error:
        return deltas, error, time.perf_counter() - began_s
    return deltas, None, time.perf_counter() - began_s


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("none", "split_utf8")])
async def test_a_fault_ends_typed_and_in_time_and_frees_its_slot(fault: Fault, *, streamed: bool) -> None:
    server = FakeLLM(behaviour=Behaviour(fault=fault))
    await server.start()
    engine = OpenAIGenerator(model="fake", url=server.url, streamed=streamed, limits=LIMITS)
    await engine.start()

    ends = await asyncio.gather(*(outcome(engine) for _ in range(TIMES)))
    await server.until(lambda: server.slots_in_use == 0)

    for deltas, error, took_s in ends:
        expected = Overloaded if fault == "status_429" else (StageUnavailable, DeadlineExceeded)
        assert isinstance(error, expected)
        assert all(delta.finish is None for delta in deltas)
        assert took_s < DEADLINE_S + 0.25
    assert all(seen.end != "running" for seen in server.seen)
    await engine.stop()
    await server.stop()


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_characters_cut_between_reads_arrive_whole(*, streamed: bool) -> None:
    server = FakeLLM(behaviour=Behaviour(fault="split_utf8"))
    await server.start()
    engine = OpenAIGenerator(model="fake", url=server.url, streamed=streamed, limits=LIMITS)
    await engine.start()

    deltas, error, _ = await outcome(engine)

    assert error is None
    assert "".join(delta.text for delta in deltas) == "café ☂ naïve"
    assert deltas[-1].finish == "stop"
    await engine.stop()
    await server.stop()


async def test_a_closed_port_is_unavailable() -> None:
    server = FakeLLM()
    await server.start()
    await server.stop()
    engine = OpenAIGenerator(model="fake", url=server.url, limits=LIMITS)
    await engine.start()

    _, error, took_s = await outcome(engine)

    assert isinstance(error, StageUnavailable)
    assert took_s < DEADLINE_S
    assert not await engine.healthy(start_context(principal=Principal(), timeout_s=1.0))
    await engine.stop()
