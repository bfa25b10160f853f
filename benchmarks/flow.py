"""What the mechanisms of flow/ cost a request: python -m benchmarks.flow

Microseconds of one core per call, the work itself being nothing. `door + 3 batchers` is a question's way.
Median of the repeats; callers run concurrently in one event loop, as in the server.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

import uvloop

from penstock.core.context import Context, start_context
from penstock.core.types import Principal
from penstock.flow.admission import Admission
from penstock.flow.batcher import Batcher
from penstock.flow.breaker import Breaker
from penstock.flow.estimate import Durations
from penstock.flow.limit import AdaptiveLimit
from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import Charge, Quota
from penstock.flow.retry import TargetBudget, retry
from penstock.flow.singleflight import SingleFlight

Call = Callable[[Context], Awaitable[object]]


async def nothing() -> None:
    """The work."""


async def echo(items: Sequence[int]) -> Sequence[int]:
    return items


def a_batcher(name: str) -> Batcher[int, int]:
    return Batcher(name=name, run=echo, size_of=lambda item: item)


def calls() -> dict[str, Call]:
    door = Admission(name="door", limit=AdaptiveLimit(initial=1024, lowest=1024))
    batchers = [a_batcher(name) for name in ("embed", "search", "rerank")]
    flights: SingleFlight[tuple[str, int], None] = SingleFlight()
    breaker, budget, times = Breaker(name="engine"), TargetBudget(), Durations()
    limiter = LocalLimiter()
    charges = [Charge(account=name, quota=Quota(requests_per_minute=1e12)) for name in ("{acme}", "{acme}:key")]
    counter = iter(range(10**9))

    async def admitted(ctx: Context) -> None:
        async with door.admit(ctx):
            pass

    async def way(ctx: Context) -> None:
        async with door.admit(ctx):
            for batcher in batchers:
                await batcher.submit(20, ctx)

    async def broken(_ctx: Context) -> None:
        async with breaker.attempt():
            pass

    async def observed(_ctx: Context) -> None:
        times.observe(0.01)
        times.quantile(0.95)

    return {
        "door + 3 batchers": way,
        "door": admitted,
        "batcher": lambda ctx: batchers[0].submit(20, ctx),
        "single flight": lambda ctx: flights.do(("acme", next(counter)), nothing, ctx),
        "retry": lambda ctx: retry(nothing, ctx=ctx, budget=budget),
        "breaker": broken,
        "rate limit, key and tenant": lambda _ctx: limiter.take(charges, tokens=100),
        "durations, observe and p95": observed,
    }


async def microseconds(call: Call, *, callers: int, each: int) -> float:
    principal = Principal(tenant="acme")

    async def caller() -> None:
        for _ in range(each):
            await call(start_context(principal=principal, timeout_s=30.0))

    began_s = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return (time.perf_counter() - began_s) / (callers * each) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--each", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    arguments = parser.parse_args()
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if arguments.loop == "uvloop":
        factory = uvloop.new_event_loop
    print(f"{arguments.callers} callers, {arguments.loop}; includes making the context")
    print(f"{'':28} {'µs a call':>10} {'range':>14} {'calls/s':>10}")
    for name in calls():
        taken = []
        for _ in range(arguments.repeats):
            with asyncio.Runner(loop_factory=factory) as runner:
                taken.append(runner.run(microseconds(calls()[name], callers=arguments.callers, each=arguments.each)))
        median = statistics.median(taken)
        print(f"{name:28} {median:10.1f} {min(taken):6.1f}-{max(taken):<7.1f} {1e6 / median:10,.0f}")


if __name__ == "__main__":
    main()
