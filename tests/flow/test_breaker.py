from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from penstock.core.errors import DeadlineExceeded, InvalidRequest, Overloaded, StageUnavailable
from penstock.flow.breaker import Breaker
from tests.simulation.loop import VirtualLoop, virtual


async def call(breaker: Breaker, error: BaseException | None = None, seconds: float = 0.0) -> None:
    async with breaker.attempt():
        await asyncio.sleep(seconds)
        if error is not None:
            raise error


async def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await call(breaker, ConnectionError("refused"))


@virtual
async def test_failures_in_a_row_open_it_and_callers_fail_at_once(loop: VirtualLoop) -> None:
    breaker = Breaker(name="engine", clock=loop)
    await fail(breaker, 5)
    assert breaker.state == "open"
    with pytest.raises(StageUnavailable, match="rests"):
        await call(breaker)


@virtual
async def test_a_share_of_failures_opens_it_within_two_seconds(loop: VirtualLoop) -> None:
    breaker = Breaker(name="engine", clock=loop)
    began_s, calls = loop.time(), 0
    while breaker.state == "closed":
        calls += 1
        if calls % 5 in (0, 1):
            await call(breaker)
        else:
            await fail(breaker, 1)
        await asyncio.sleep(0.05)
    assert loop.time() - began_s <= 2.0


@virtual
async def test_old_failures_are_forgotten(loop: VirtualLoop) -> None:
    breaker = Breaker(name="engine", consecutive=100, clock=loop)
    for _ in range(30):
        await fail(breaker, 1)
        await asyncio.sleep(0.3)
    assert breaker.state == "closed"


@virtual
async def test_what_says_nothing_of_the_target_does_not_count(loop: VirtualLoop) -> None:
    breaker = Breaker(name="engine", clock=loop)
    for error in (InvalidRequest("wrong"), Overloaded("full"), DeadlineExceeded(stage="x"), asyncio.CancelledError()):
        for _ in range(10):
            with pytest.raises(type(error)):
                await call(breaker, error)
    assert breaker.state == "closed"


@virtual
async def test_deadlines_of_calls_that_were_given_time_do_count(loop: VirtualLoop) -> None:
    breaker = Breaker(name="engine", patience_s=5.0, clock=loop)
    for _ in range(5):
        with pytest.raises(DeadlineExceeded):
            await call(breaker, DeadlineExceeded(stage="engine"), seconds=6.0)
    assert breaker.state == "open"


@virtual
async def test_few_probes_at_a_time_and_a_failed_one_opens_it_again(loop: VirtualLoop) -> None:
    breaker = Breaker(name="engine", probes=2, clock=loop)
    await fail(breaker, 5)
    await asyncio.sleep(1.3)
    assert breaker.state == "half_open"
    probes = [asyncio.create_task(call(breaker, seconds=0.5)) for _ in range(2)]
    await asyncio.sleep(0.1)
    with pytest.raises(StageUnavailable):
        await call(breaker)
    await asyncio.gather(*probes)
    assert breaker.state == "ramp"
    await asyncio.sleep(3)
    await call(breaker)
    assert breaker.state == "closed"
    await fail(breaker, 5)
    await asyncio.sleep(1.3)
    await fail(breaker, 1)
    assert breaker.state == "open"


@virtual
async def test_a_cancelled_probe_makes_room_for_another(loop: VirtualLoop) -> None:
    breaker = Breaker(name="engine", probes=1, clock=loop)
    await fail(breaker, 5)
    await asyncio.sleep(1.3)
    probe = asyncio.create_task(call(breaker, seconds=9.0))
    await asyncio.sleep(0.1)
    probe.cancel()
    await asyncio.wait([probe])
    await call(breaker)
    assert breaker.state == "ramp"


@virtual
async def test_news_from_before_it_opened_changes_nothing(loop: VirtualLoop) -> None:
    breaker = Breaker(name="engine", probes=1, clock=loop)
    old = [asyncio.create_task(call(breaker, ConnectionError("late"), seconds=1.5)) for _ in range(3)]
    await asyncio.sleep(0)
    await fail(breaker, 5)
    await asyncio.sleep(1.3)
    await call(breaker)
    await asyncio.gather(*old, return_exceptions=True)
    assert breaker.state == "ramp"


@virtual
async def test_recovery_is_quick_and_makes_no_wave(loop: VirtualLoop) -> None:
    """Check 13: opens in 2 s, recovers in 5 s, no 100 ms bin over twice the mean."""
    breaker, rng = Breaker(name="engine", rng=random.Random(3), clock=loop), random.Random(4)
    bins: Counter[int] = Counter()
    is_down, down_calls, tasks = True, 0, set()

    async def one() -> None:
        nonlocal down_calls
        try:
            async with breaker.attempt():
                bins[int(loop.time() * 10)] += 1
                await asyncio.sleep(0.01)
                if is_down:
                    down_calls += 1
                    raise ConnectionError  # noqa: TRY301 - a target that is down
        except (ConnectionError, StageUnavailable):
            pass

    async def load(seconds: float) -> None:
        end_s = loop.time() + seconds
        while loop.time() < end_s:
            await asyncio.sleep(rng.expovariate(200.0))
            task = asyncio.create_task(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    await load(5.0)
    assert down_calls < 60  # of 1,000
    bins.clear()
    is_down, healthy_s = False, loop.time()
    while breaker.state != "closed":
        await load(0.1)
    assert loop.time() - healthy_s <= 5.0
    await load(3.0)
    assert max(bins.values()) <= 2 * 20
    await asyncio.gather(*tasks)
