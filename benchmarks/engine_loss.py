"""One of two engines is lost under load: who notices, and what it costs.

    python -m benchmarks.engine_loss [--ways kill freeze errors errors-healthy] [--rate 40] [--seconds 20] [--repeats 3]

Two engines in processes of their own (200 ms to the first token, then 16 tokens at 10 ms) behind a pool, requests at a
steady rate whatever becomes of the earlier ones. A quarter into the run one engine is killed (SIGKILL), frozen
(SIGSTOP), or answers every request with 500, with or without its probes; half-way it is well again. Of the requests
that were not with it at that moment 99.5 % must end with a whole answer from a language model; the last failure may
have begun at most 5 s after; attempts stay within 1.2 x requests + 3.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Literal, get_args

import msgspec

from penstock.core.context import Context, start_context
from penstock.core.errors import PenstockError
from penstock.core.types import Delta, Message, Principal, Prompt, Sampling
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.pool import Pool
from penstock.generate.replica import Engine

Way = Literal["kill", "freeze", "errors", "errors-healthy"]
WAYS: tuple[Way, ...] = get_args(Way)
LEAST_SUCCESS = 0.995
LONGEST_RECOVERY_S = 5.0


class Watched:
    """An engine that knows which requests are with it now."""

    def __init__(self, engine: Engine) -> None:
        self.model = engine.model
        self.asked = 0
        self.current: set[str] = set()
        self._engine = engine

    async def healthy(self, ctx: Context) -> bool:
        return await self._engine.healthy(ctx)

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        self.asked += 1
        self.current.add(ctx.request_id)
        try:
            async with aclosing(self._engine.generate(prompt, ctx)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self.current.discard(ctx.request_id)


class Sent(msgspec.Struct):
    """One request: when it began, and what became of it."""

    request_id: str
    began_s: float
    error: str = ""


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What the loss of an engine did to the others' requests."""

    requests: int
    there: int
    """Requests that were with the engine when it was lost."""
    there_failed: int
    failed: int
    """Of the others."""
    recovery_s: float
    """From the loss to the beginning of the last of the others that failed; 0 where none did."""
    attempts: int
    errors: dict[str, int]

    @property
    def success(self) -> float:
        return 1.0 - self.failed / max(1, self.requests - self.there)

    @property
    def most_attempts(self) -> float:
        return 1.2 * self.requests + 3

    @property
    def holds(self) -> bool:
        return (
            self.success >= LEAST_SUCCESS
            and self.recovery_s <= LONGEST_RECOVERY_S
            and self.attempts <= self.most_attempts
        )


def prompt_of(number: int, max_tokens: int) -> Prompt:
    text = f"Question {number}: how does the water reach the turbine?"
    return Prompt(
        question=text,
        passages=(),
        messages=(Message(role="user", content=text),),
        sampling=Sampling(max_tokens=max_tokens, temperature=0.0),
    )


async def under_load(
    pool: Pool,
    lost: Watched,
    strike: Callable[[], Awaitable[None]],
    *,
    rate: float,
    seconds: float,
    strike_at_s: float,
    timeout_s: float = 10.0,
    max_tokens: int = 16,
) -> Loss:
    """Send `rate` requests a second for `seconds`; `strike` breaks the engine of `lost`."""
    sent: list[Sent] = []
    before = pool.attempts

    async def one(number: int) -> None:
        ctx = start_context(principal=Principal(), timeout_s=timeout_s)
        request = Sent(ctx.request_id, time.monotonic(), "unfinished")
        sent.append(request)
        try:
            deltas = [delta async for delta in pool.generate(prompt_of(number, max_tokens), ctx)]
            request.error = "" if deltas and deltas[-1].finish in ("stop", "length") else "incomplete"
        except PenstockError as error:
            request.error = f"{error.code}: {error.message}"

    there: set[str] = set()
    struck_s = 0.0

    async def break_it() -> None:
        nonlocal struck_s
        await asyncio.sleep(strike_at_s)
        there.update(lost.current)
        struck_s = time.monotonic()
        await strike()

    began_s = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(break_it())
        for number in range(int(rate * seconds)):
            await asyncio.sleep(began_s + number / rate - time.monotonic())
            tasks.create_task(one(number))
    return _judged(sent, there, struck_s, pool.attempts - before)


def _judged(sent: Sequence[Sent], there: set[str], struck_s: float, attempts: int) -> Loss:
    failed = [request for request in sent if request.error and request.request_id not in there]
    errors: dict[str, int] = {}
    for request in failed:
        errors[request.error] = errors.get(request.error, 0) + 1
    return Loss(
        requests=len(sent),
        there=len(there),
        there_failed=sum(bool(request.error) for request in sent if request.request_id in there),
        failed=len(failed),
        recovery_s=max((request.began_s - struck_s for request in failed), default=0.0),
        attempts=attempts,
        errors=errors,
    )


class FakeProcess:
    """A fake engine in a process of its own."""

    def __init__(self, *, port: int = 0) -> None:
        command = [sys.executable, "-m", "penstock.bench.fake_llm", "--port", str(port)]
        command += ["--first-token-ms", "200", "--token-ms", "10", "--tokens", "16"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]
        self.port = int(self.url.split(":")[2].split("/")[0])

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    def control(self, **behaviour: object) -> None:
        body = json.dumps(behaviour).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/control", data=body, method="POST")
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - our own engine

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@asynccontextmanager
async def pool_of(urls: Sequence[str], *, model: str = "fake") -> AsyncGenerator[tuple[Pool, list[Watched]]]:
    """A started pool over engines that are watched."""
    async with AsyncExitStack() as stack:
        pool, watched = Pool(model=model, on_death=_raise), []
        for url in urls:
            engine = OpenAIGenerator(model=model, url=url)
            await engine.start()
            stack.push_async_callback(engine.stop)
            watched.append(Watched(engine))
            pool.add(url, watched[-1])
        await pool.start()
        stack.push_async_callback(pool.stop)
        yield pool, watched


async def trial(way: Way, *, rate: float, seconds: float) -> Loss:
    """One run with two fake engines, of which the first is lost a quarter in and well again half-way."""
    engines = [FakeProcess(), FakeProcess()]
    first = engines[0]

    async def strike() -> None:
        if way == "kill":
            first.stop()
        elif way == "freeze":
            first.signal(signal.SIGSTOP)
        else:
            await asyncio.to_thread(first.control, fault="status_500", models_fail=way == "errors")
        heal.append(asyncio.create_task(_heal()))

    async def _heal() -> None:
        await asyncio.sleep(seconds / 4)
        if way == "kill":
            engines[0] = await asyncio.to_thread(FakeProcess, port=first.port)
        elif way == "freeze":
            first.signal(signal.SIGCONT)
        else:
            await asyncio.to_thread(first.control, fault="none")

    heal: list[asyncio.Task[None]] = []
    try:
        async with pool_of([engine.url for engine in engines]) as (pool, watched):
            loss = await under_load(pool, watched[0], strike, rate=rate, seconds=seconds, strike_at_s=seconds / 4)
            await heal[0]
            return loss
    finally:
        for engine in engines:
            engine.stop()


def _raise(name: str, error: BaseException) -> None:
    raise SystemExit(f"{name} died") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    every_bar_holds = True
    for way in options.ways:
        for _ in range(options.repeats):
            loss = asyncio.run(trial(way, rate=options.rate, seconds=options.seconds))
            every_bar_holds = every_bar_holds and loss.holds
            print(
                f"{way:15} success {loss.success:.2%} of {loss.requests - loss.there} (bar 99.5 %), recovery "
                f"{loss.recovery_s:.2f} s (bar 5), attempts {loss.attempts} (bar {loss.most_attempts:.0f}); "
                f"{loss.there_failed} of {loss.there} that were there failed  {loss.errors or ''}"
            )
    sys.exit(0 if every_bar_holds else 1)


if __name__ == "__main__":
    main()
