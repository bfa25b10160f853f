import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.core.context import Context, start_context
from penstock.core.errors import InvalidRequest, Overloaded, StageUnavailable, TooLarge
from penstock.core.types import Delta, Message, Principal, Prompt, Sampling
from penstock.generate.faults import fault_of
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.pacing import KeyRing
from penstock.generate.stream import Limits
from penstock.generate.wire import WireFault

PROMPT = Prompt(question="why?", passages=(), messages=(Message(role="user", content="one two three four"),))


def context(timeout_s: float = 5.0) -> Context:
    return start_context(principal=Principal(), timeout_s=timeout_s)


async def first_delta(engine: OpenAIGenerator) -> Delta:
    return await anext(engine.generate(PROMPT, context()))


@pytest.fixture
async def server() -> AsyncIterator[FakeLLM]:
    fake = FakeLLM()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def engine(server: FakeLLM) -> AsyncIterator[OpenAIGenerator]:
    made = OpenAIGenerator(model="fake", url=server.url)
    await made.start()
    yield made
    await made.stop()


async def test_closing_the_iterator_frees_the_servers_slot_at_once(server: FakeLLM, engine: OpenAIGenerator) -> None:
    server.behaviour = Behaviour(token_ms=2.0, tokens=1000)

    async with aclosing(engine.generate(PROMPT, context())) as deltas:
        await anext(deltas)
        assert server.slots_in_use == 1
    closed_s = time.monotonic()
    await server.until(lambda: server.slots_in_use == 0)

    assert server.seen[0].end == "cut"
    assert server.seen[0].ended_s - closed_s < 0.1


async def test_cancelling_before_the_first_byte_frees_the_slot(server: FakeLLM, engine: OpenAIGenerator) -> None:
    server.behaviour = Behaviour(fault="hang_headers")
    task = asyncio.create_task(first_delta(engine))
    await server.until(lambda: bool(server.seen))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await server.until(lambda: server.slots_in_use == 0)


async def test_connections_are_used_again(server: FakeLLM, engine: OpenAIGenerator) -> None:
    for _ in range(5):
        assert [delta async for delta in engine.generate(PROMPT, context())][-1].finish == "stop"

    assert len(server.connections) == 1


async def test_the_server_learns_how_much_time_is_left(server: FakeLLM, engine: OpenAIGenerator) -> None:
    _ = [delta async for delta in engine.generate(PROMPT, context(timeout_s=3.0))]

    assert 2_500 < (server.seen[0].budget_ms or 0) <= 3_000


async def test_usage_is_the_servers_and_is_counted_where_it_says_nothing(
    server: FakeLLM, engine: OpenAIGenerator
) -> None:
    said = [delta async for delta in engine.generate(PROMPT, context())][-1].usage
    server.behaviour = Behaviour(say_usage=False, token_ms=1.0)
    counted = [delta async for delta in engine.generate(PROMPT, context())][-1].usage

    assert said is not None
    assert counted is not None
    assert (said.prompt, said.output) == (4, 32)
    assert (counted.prompt, counted.output) == (5, 32)


async def test_what_a_caller_asks_for_reaches_the_server(server: FakeLLM, engine: OpenAIGenerator) -> None:
    prompt = Prompt(question="q", passages=(), messages=PROMPT.messages, sampling=Sampling(max_tokens=3))

    deltas = [delta async for delta in engine.generate(prompt, context())]

    assert "".join(delta.text for delta in deltas) == "water flows down"
    assert deltas[-1].finish == "length"


async def test_an_answer_over_the_limit_is_cut_and_says_so(server: FakeLLM) -> None:
    server.behaviour = Behaviour(tokens=1000, token_ms=0.1)
    engine = OpenAIGenerator(model="fake", url=server.url, limits=Limits(answer_chars=50))
    await engine.start()

    deltas = [delta async for delta in engine.generate(PROMPT, context())]

    assert deltas[-1].finish == "length"
    await engine.stop()
    await server.until(lambda: server.slots_in_use == 0)


async def test_a_slow_reader_is_not_the_engines_silence(server: FakeLLM) -> None:
    server.behaviour = Behaviour(tokens=3, token_ms=1.0)
    engine = OpenAIGenerator(model="fake", url=server.url, limits=Limits(between_tokens_s=0.02))
    await engine.start()

    texts = []
    async for delta in engine.generate(PROMPT, context()):
        texts.append(delta.text)
        await asyncio.sleep(0.05)

    assert "".join(texts) == "water flows down"
    await engine.stop()


async def test_keys_take_turns_and_a_used_up_one_rests(server: FakeLLM) -> None:
    engine = OpenAIGenerator(model="fake", url=server.url, keys=KeyRing(keys=("first-key", "second-key")))
    await engine.start()
    for _ in range(2):
        _ = [delta async for delta in engine.generate(PROMPT, context())]
    server.behaviour = Behaviour(fault="status_429", retry_after="60")
    with pytest.raises(Overloaded) as refused:
        _ = [delta async for delta in engine.generate(PROMPT, context())]
    server.behaviour = Behaviour()
    for _ in range(2):
        _ = [delta async for delta in engine.generate(PROMPT, context())]

    assert refused.value.retry_after_s == 60.0
    used = [seen.authorization.removeprefix("Bearer ").removesuffix("-key") for seen in server.seen]
    assert used == ["first", "second", "first", "second", "second"]
    await engine.stop()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((400, InvalidRequest), (422, InvalidRequest), (413, TooLarge), (429, Overloaded)),
        *((status, StageUnavailable) for status in (302, 401, 403, 404, 500, 503)),
    ],
)
def test_every_status_has_its_error(status: int, error: type[Exception]) -> None:
    assert type(fault_of(status, {}, WireFault(message="no"), model="m")) is error


async def test_an_engine_that_was_not_started_says_so() -> None:
    with pytest.raises(StageUnavailable, match="has not been started"):
        await anext(OpenAIGenerator(model="m", url="http://127.0.0.1:1/v1").generate(PROMPT, context()))
