from __future__ import annotations

import asyncio

import pytest

from penstock.core.errors import DeadlineExceeded
from penstock.flow.singleflight import SingleFlight
from tests.flow.callers import caller
from tests.simulation.loop import VirtualLoop, virtual


class Work:
    def __init__(self, seconds: float = 1.0, error: Exception | None = None) -> None:
        self.seconds, self.error = seconds, error
        self.started = self.cancelled = 0

    async def do(self) -> str:
        self.started += 1
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return "done"


@virtual
async def test_identical_work_is_done_once_and_other_work_is_not_shared(loop: VirtualLoop) -> None:
    flights, work = SingleFlight[tuple[str, str], str](), Work()
    keys = [("acme", "q"), ("acme", "q"), ("other", "q")]
    assert await asyncio.gather(*(flights.do(key, work.do, caller(loop)) for key in keys)) == ["done"] * 3
    assert work.started == 2
    assert len(flights) == 0


@virtual
async def test_the_first_caller_may_leave_and_the_work_goes_on(loop: VirtualLoop) -> None:
    flights, work = SingleFlight[str, str](), Work()
    first = asyncio.create_task(flights.do("k", work.do, caller(loop)))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(flights.do("k", work.do, caller(loop)))
    await asyncio.sleep(0.1)
    first.cancel()
    assert await second == "done"
    assert (work.started, work.cancelled) == (1, 0)
    assert loop.time() == pytest.approx(1001.0)


@virtual
async def test_when_all_have_left_the_work_ends_and_the_next_starts_anew(loop: VirtualLoop) -> None:
    flights, work = SingleFlight[str, str](), Work()
    tasks = [asyncio.create_task(flights.do("k", work.do, caller(loop))) for _ in range(2)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert await flights.do("k", work.do, caller(loop)) == "done"
    assert (work.started, work.cancelled) == (2, 1)


@virtual
async def test_an_error_goes_to_all_who_wait_and_is_not_kept(loop: VirtualLoop) -> None:
    flights, work = SingleFlight[str, str](), Work(error=KeyError("no"))
    results = await asyncio.gather(*(flights.do("k", work.do, caller(loop)) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, KeyError) for result in results)
    work.error = None
    assert await flights.do("k", work.do, caller(loop)) == "done"
    assert work.started == 2


@virtual
async def test_the_starters_deadline_is_not_the_others(loop: VirtualLoop) -> None:
    flights = SingleFlight[str, str]()
    short, long = caller(loop, timeout_s=1.0), caller(loop, timeout_s=10.0)

    async def work(ctx: object, seconds: float) -> str:
        await asyncio.sleep(seconds)
        if ctx is short:
            raise DeadlineExceeded(stage="work")
        return "done"

    first = asyncio.create_task(flights.do("k", lambda: work(short, 0.9), short))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(flights.do("k", lambda: work(long, 2.0), long))
    assert await second == "done"
    with pytest.raises(DeadlineExceeded):
        await first


@virtual
async def test_nobody_waits_past_its_own_deadline(loop: VirtualLoop) -> None:
    flights, work = SingleFlight[str, str](), Work(seconds=9.0)
    first = asyncio.create_task(flights.do("k", work.do, caller(loop, timeout_s=20)))
    await asyncio.sleep(0.1)
    with pytest.raises(DeadlineExceeded):
        await flights.do("k", work.do, caller(loop, timeout_s=1.0))
    assert loop.time() == pytest.approx(1001.1)
    assert await first == "done"
