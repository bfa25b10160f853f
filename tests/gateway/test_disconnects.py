"""Check 15: callers leave at random points, and the engine's slots are free at once; nobody else notices.

The server, the engine and the callers are processes of their own, on one clock. PENSTOCK_DISCONNECTS is how many
answers are under way at once; a tenth of them is left. From 1,000 on the bars hold, which need a machine that does
nothing else: a slot free within 100 ms (p99), at most one further token.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest

from benchmarks.serving import free_port
from penstock.bench.fake_behaviour import Seen
from penstock.bench.fake_connection import WORDS
from penstock.bench.stream_client import Heard, StreamClient, chat_request
from tests import program
from tests.gateway.nginx import nginx

ANSWERS = int(os.environ.get("PENSTOCK_DISCONNECTS", "60"))
IS_SOAK = ANSWERS >= 1000
TOKEN_MS = 100
SPREAD_S = 1.0 + ANSWERS / 500
"""All have begun by then, and none has ended."""
LENGTH_S = SPREAD_S + 1.0
TOKENS = int(LENGTH_S * 1000 / TOKEN_MS)
SAID = " ".join(WORDS[number % len(WORDS)] for number in range(TOKENS))
SLOT_FREE_S = 0.1 if IS_SOAK else 1.0
START_S = 60.0


class Place(NamedTuple):
    """Where things listen."""

    server: int
    engine: int


class Load(msgspec.Struct):
    """What the callers did. Requests are known by their seeds."""

    heard: list[Heard] = []
    left_s: dict[int, float] = {}

    @property
    def is_over(self) -> bool:
        return len(self.heard) + len(self.left_s) == ANSWERS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """`penstock serve` before a fake engine, each a process."""
    folder = tmp_path_factory.mktemp("disconnects")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    at = Place(free_port(), free_port())
    config = folder / "penstock.toml"
    config.write_text(
        "[flow]\nadmission = false\n"
        f'[[generate.engines]]\nmodel = "fake"\nurls = ["http://127.0.0.1:{at.engine}/v1"]\n',
        encoding="utf-8",
    )
    sizes = {"port": at.engine, "slots": 10_000, "tokens": TOKENS, "first-token-ms": TOKEN_MS, "token-ms": TOKEN_MS}
    engine = [sys.executable, "-m", "penstock.bench.fake_llm"]
    engine += [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
    with (folder / "said").open("w+", encoding="utf-8") as said:
        serve = ("serve", "--data", folder / "data", "--config", config, "--port", str(at.server))
        with (
            _ending(subprocess.Popen(engine, stdout=said, stderr=said, text=True)),
            _ending(program.start(*serve, output=said)),
        ):
            _until_up(f"http://127.0.0.1:{at.engine}/v1/models", folder / "said")
            _until_up(f"http://127.0.0.1:{at.server}/readyz", folder / "said")
            yield at


@pytest.mark.parametrize("way", ["direct", "nginx"])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_who_leaves_frees_the_slot_and_the_others_get_every_byte(
    place: Place, tmp_path: Path, *, streamed: bool, way: str
) -> None:
    async with AsyncExitStack() as stack:
        port = place.server
        if way == "nginx":
            port = await stack.enter_async_context(nginx(tmp_path, upstream_port=port))
        first_seed = 10 * int(time.monotonic() * 1000)
        load = await _load(port, first_seed=first_seed, streamed=streamed)

        stats = await _once_all_slots_are_free(place.engine)

    seen = {one.seed: one for one in msgspec.convert(stats["seen"], list[Seen])}
    started = {seed: moment_s for seed, moment_s in load.left_s.items() if seed in seen}
    freed_s = [seen[seed].ended_s - moment_s for seed, moment_s in started.items()]
    late = [seed for seed, moment_s in started.items() if seen[seed].last_two_s[0] > moment_s]
    print(
        f"{way}, {'streamed' if streamed else 'whole'}: {ANSWERS} answers, {stats['most_in_use']} at most at once, "
        f"{len(load.left_s)} left, {len(load.left_s) - len(started)} of them before the engine heard of it; slot free "
        f"after p50 {statistics.median(freed_s) * 1000:.1f}, p99 {_p99(freed_s) * 1000:.1f}, "
        f"at most {max(freed_s) * 1000:.1f} ms; more than one further token: {len(late)}"
    )
    assert len(load.left_s) == ANSWERS // 10
    assert len(started) >= len(load.left_s) // 2
    assert all(seen[seed].end == "cut" for seed in started)
    assert {(one.error, one.text) for one in load.heard} == {("", SAID)}
    assert _p99(freed_s) <= SLOT_FREE_S
    assert len(late) <= (0 if IS_SOAK else len(started) // 2)


async def _load(port: int, *, first_seed: int, streamed: bool) -> Load:
    loop = asyncio.get_running_loop()
    dice = random.Random(15)
    load = Load()
    done = asyncio.Event()

    def on_end(_client: StreamClient, one: Heard) -> None:
        load.heard.append(one)
        if load.is_over:
            done.set()

    def leave(client: StreamClient, seed: int, *, reset: bool) -> None:
        load.left_s[seed] = time.monotonic()
        client.cut(reset=reset)
        if load.is_over:
            done.set()

    clients = []
    for number in range(ANSWERS):
        _, client = await loop.create_connection(
            lambda: StreamClient(on_end=on_end, streamed=streamed), "127.0.0.1", port
        )
        clients.append(client)
        seed = first_seed + number
        messages = [{"role": "user", "content": "Go on."}]
        body = {"model": "fake", "stream": streamed, "seed": seed, "vector_store_ids": [], "messages": messages}
        body["max_tokens"] = TOKENS  # else a server under pressure sets a limit of its own, which the engine fills
        begin_s = dice.uniform(0, SPREAD_S)
        loop.call_later(begin_s, client.ask, chat_request("127.0.0.1", "/v1/chat/completions", body))
        if number % 10 == 0:
            left_s = begin_s + dice.uniform(0, 0.9 * LENGTH_S)
            loop.call_later(left_s, lambda c=client, s=seed, r=number % 20 == 0: leave(c, s, reset=r))
    async with asyncio.timeout(60 + 10 * LENGTH_S):
        await done.wait()
    for client in clients:
        client.cut()
    return load


async def _once_all_slots_are_free(engine_port: int) -> dict[str, object]:
    """What the engine saw, when it has nothing left to do."""
    async with asyncio.timeout(10), httpx.AsyncClient() as client:
        while True:
            stats: dict[str, object] = (await client.get(f"http://127.0.0.1:{engine_port}/stats")).json()
            if stats["slots_in_use"] == 0:
                return stats
            await asyncio.sleep(0.05)


def _until_up(url: str, said: Path) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(said.read_text(encoding="utf-8"))


@contextmanager
def _ending(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _p99(values: list[float]) -> float:
    return max(values) if len(values) < 2 else statistics.quantiles(values, n=100, method="inclusive")[98]
