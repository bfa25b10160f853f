from __future__ import annotations

import asyncio

import pytest

from penstock.core.errors import InvalidRequest, StageUnavailable
from penstock.flow.hedge import Hedge
from tests.simulation.loop import VirtualLoop, virtual


class Replica:
    def __init__(self, name: str, seconds: float = 0.1, error: Exception | None = None) -> None:
        self.name, self.seconds, self.error = name, seconds, error
        self.calls = self.cancelled = 0

    async def ask(self) -> str:
        self.calls += 1
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return self.name


async def warmed(loop: VirtualLoop, **settings: float) -> Hedge:
    hedge = Hedge(name="search", least_seen=20, clock=loop, **settings)  # type: ignore[arg-type]
    replica = Replica("warm")
    for _ in range(20):
        await hedge.call([replica.ask])
    return hedge


@virtual
async def test_a_slow_first_is_overtaken_and_cancelled(loop: VirtualLoop) -> None:
    hedge = await warmed(loop)
    slow, fast = Replica("slow", 9.0), Replica("fast")
    began_s = loop.time()
    assert await hedge.call([slow.ask, fast.ask]) == "fast"
    assert loop.time() - began_s == pytest.approx(0.2, rel=0.06)
    assert slow.cancelled == 1


@virtual
async def test_a_quick_first_stays_alone(loop: VirtualLoop) -> None:
    hedge = await warmed(loop)
    first, second = Replica("first", 0.05), Replica("second")
    assert await hedge.call([first.ask, second.ask]) == "first"
    assert second.calls == 0


@virtual
async def test_hedges_are_a_small_share_when_all_is_slow(loop: VirtualLoop) -> None:
    hedge = await warmed(loop, max_share=0.05)
    first, second = Replica("first", 5.0), Replica("second", 5.0)
    await asyncio.gather(*(hedge.call([first.ask, second.ask]) for _ in range(200)))
    assert second.calls <= 0.05 * 220 + 1


@virtual
async def test_a_passing_failure_goes_to_the_second_at_once_and_a_wrong_question_does_not(loop: VirtualLoop) -> None:
    hedge = await warmed(loop)
    second = Replica("second")
    assert await hedge.call([Replica("a", 0.0, StageUnavailable("a", "down")).ask, second.ask]) == "second"
    with pytest.raises(InvalidRequest):
        await hedge.call([Replica("a", 0.0, InvalidRequest("wrong")).ask, second.ask])
    assert second.calls == 1


@virtual
async def test_the_callers_cancellation_reaches_both(loop: VirtualLoop) -> None:
    hedge = await warmed(loop)
    first, second = Replica("first", 9.0), Replica("second", 9.0)
    task = asyncio.create_task(hedge.call([first.ask, second.ask]))
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (first.cancelled, second.cancelled) == (1, 1)


@virtual
async def test_nothing_is_hedged_before_times_are_known(loop: VirtualLoop) -> None:
    hedge = Hedge(name="search", clock=loop)
    second = Replica("second")
    assert await hedge.call([Replica("slow", 9.0).ask, second.ask]) == "slow"
    assert second.calls == 0
