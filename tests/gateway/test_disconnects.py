"""Check 15: callers leave at random points, and the engine's slots are free at once; nobody else notices.

PENSTOCK_DISCONNECTS is how many answers are under way; a tenth of them is left. From 1,000 on the time bar holds, too.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.bench.stream_client import Heard, StreamClient, chat_request
from penstock.config import FlowSettings
from penstock.generate.openai import OpenAIGenerator
from tests.gateway.nginx import nginx
from tests.gateway.world import Live

ANSWERS = int(os.environ.get("PENSTOCK_DISCONNECTS", "60"))
TOKENS = 40
TOKEN_MS = 50.0
SLOT_FREE_S = 0.1 if ANSWERS >= 1000 else 1.0


@pytest.mark.parametrize("way", ["direct", "nginx"])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_who_leaves_frees_the_slot_and_the_others_get_every_byte(
    make_live: Callable[..., Awaitable[Live]], tmp_path: Path, *, streamed: bool, way: str
) -> None:
    async with AsyncExitStack() as stack:
        engine = FakeLLM(behaviour=Behaviour(tokens=TOKENS, token_ms=TOKEN_MS, first_token_ms=50.0, slots=10_000))
        await engine.start()
        stack.push_async_callback(engine.stop)
        generator = OpenAIGenerator(model="scripted", url=engine.url)
        await generator.start()
        stack.push_async_callback(generator.stop)
        live = await make_live(engine=generator, flow=FlowSettings(admission=False), request_timeout_s=120.0)
        port = live.port
        if way == "nginx":
            port = await stack.enter_async_context(nginx(tmp_path, upstream_port=live.port))

        heard, left_s = await _load(port, streamed=streamed)
        await engine.until(lambda: engine.slots_in_use == 0, within_s=10)

        ended = {seen.seed: seen for seen in engine.seen}
        freed_s = [ended[seed].ended_s - moment_s for seed, moment_s in left_s.items()]
        assert len(heard) == ANSWERS - len(left_s)
        assert {(one.error, one.text) for one in heard} == {("", heard[0].text)}
        assert len(heard[0].text.split()) == TOKENS
        assert all(ended[seed].end == "cut" for seed in left_s)
        assert _p99(freed_s) <= SLOT_FREE_S
        # A step of the engine is 50 ms.
        late = [seed for seed, moment_s in left_s.items() if ended[seed].sent_tokens > _due(ended[seed], moment_s) + 1]
        assert len(late) <= (0 if SLOT_FREE_S == 0.1 else len(left_s) // 2)


async def _load(port: int, *, streamed: bool) -> tuple[list[Heard], dict[int, float]]:
    loop = asyncio.get_running_loop()
    dice = random.Random(15)
    heard: list[Heard] = []
    left_s: dict[int, float] = {}
    done = asyncio.Event()

    def on_end(_client: StreamClient, one: Heard) -> None:
        heard.append(one)
        if len(heard) + len(left_s) == ANSWERS:
            done.set()

    def leave(client: StreamClient, seed: int, *, reset: bool) -> None:
        left_s[seed] = time.monotonic()
        client.cut(reset=reset)
        if len(heard) + len(left_s) == ANSWERS:
            done.set()

    clients = []
    for seed in range(ANSWERS):
        _, client = await loop.create_connection(
            lambda: StreamClient(on_end=on_end, streamed=streamed), "127.0.0.1", port
        )
        clients.append(client)
        messages = [{"role": "user", "content": "Go on."}]
        body = {"model": "scripted", "stream": streamed, "seed": seed, "vector_store_ids": [], "messages": messages}
        begin_s = dice.uniform(0, 1.0 + ANSWERS / 200)
        loop.call_later(begin_s, client.ask, chat_request("127.0.0.1", "/v1/chat/completions", body))
        if seed % 10 == 0:
            loop.call_later(begin_s + dice.uniform(0.5, 1.5), lambda c=client, s=seed: leave(c, s, reset=s % 20 == 0))
    async with asyncio.timeout(110):
        await done.wait()
    for client in clients:
        client.cut()
    return heard, left_s


def _due(seen: object, moment_s: float) -> float:
    """Tokens that the engine owed by then."""
    return (moment_s - seen.came_s - 0.05) * 1000 / TOKEN_MS + 1  # type: ignore[attr-defined]


def _p99(values: list[float]) -> float:
    return max(values) if len(values) < 100 else statistics.quantiles(values, n=100)[98]
