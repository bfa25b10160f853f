from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from penstock.core.context import Retries
from penstock.core.errors import InvalidRequest, Overloaded, RateLimited, StageUnavailable
from penstock.flow.retry import Backoff, TargetBudget, is_passing, retry, retry_stream
from tests.flow.callers import caller
from tests.simulation.loop import VirtualLoop, virtual


class Target:
    """Fails the first `fails` times."""

    def __init__(self, fails: int, error: Exception | None = None) -> None:
        self.calls = 0
        self._fails = fails
        self._error = error or StageUnavailable("engine", "down")

    async def call(self) -> str:
        self.calls += 1
        if self.calls <= self._fails:
            raise self._error
        return "done"

    async def stream(self, before: int = 0) -> AsyncIterator[str]:
        for n in range(before):
            yield f"{n}"
        yield await self.call()


@virtual
async def test_a_passing_error_is_tried_again_after_a_jittered_wait(loop: VirtualLoop) -> None:
    target = Target(2)
    assert await retry(target.call, ctx=caller(loop), budget=TargetBudget(), rng=random.Random(1)) == "done"
    assert target.calls == 3
    assert 0 < loop.time() - 1000.0 <= 0.05 + 0.1


@virtual
async def test_one_request_has_one_budget_for_all_its_stages(loop: VirtualLoop) -> None:
    ctx = caller(loop)
    first, second = Target(99), Target(99)
    for target in (first, second):
        with pytest.raises(StageUnavailable):
            await retry(target.call, ctx=ctx.within(5.0), budget=TargetBudget())
    assert (first.calls, second.calls) == (3, 1)


@virtual
async def test_all_requests_together_stay_within_the_targets_budget(loop: VirtualLoop) -> None:
    target, budget = Target(10_000), TargetBudget()
    for _ in range(100):
        with pytest.raises(StageUnavailable):
            await retry(target.call, ctx=caller(loop), budget=budget)
    assert 100 < target.calls <= 1.2 * 100 + 3


@virtual
async def test_a_wait_that_ends_after_the_deadline_is_not_begun_and_costs_nothing(loop: VirtualLoop) -> None:
    ctx, budget = caller(loop, timeout_s=2.0), TargetBudget()
    target = Target(99, Overloaded("full", retry_after_s=5.0))
    with pytest.raises(Overloaded):
        await retry(target.call, ctx=ctx, budget=budget)
    assert target.calls == 1
    assert loop.time() == pytest.approx(1000.0)
    assert ctx.retries.left == Retries().left
    assert [budget.take() for _ in range(4)] == [True, True, True, False]


@virtual
async def test_what_the_target_asks_for_is_the_least_wait(loop: VirtualLoop) -> None:
    target = Target(1, Overloaded("full", retry_after_s=5.0))
    assert await retry(target.call, ctx=caller(loop), budget=TargetBudget()) == "done"
    assert loop.time() >= 1005.0


@virtual
async def test_a_stream_is_opened_again_only_before_its_first_item(loop: VirtualLoop) -> None:
    target = Target(1)
    got = [x async for x in retry_stream(target.stream, ctx=caller(loop), budget=TargetBudget())]
    assert got == ["done"]
    late = Target(1)
    stream = retry_stream(lambda: late.stream(before=1), ctx=caller(loop), budget=TargetBudget())
    assert await anext(stream) == "0"
    with pytest.raises(StageUnavailable):
        await anext(stream)
    assert late.calls == 1


@virtual
async def test_closing_the_stream_closes_the_engines(loop: VirtualLoop) -> None:
    closed = []

    async def engine() -> AsyncIterator[int]:
        try:
            for n in range(100):
                yield n
                await asyncio.sleep(1)
        finally:
            closed.append(True)

    stream = retry_stream(engine, ctx=caller(loop), budget=TargetBudget())
    assert await anext(stream) == 0
    await stream.aclose()  # type: ignore[attr-defined]
    assert closed == [True]


def test_which_errors_pass() -> None:
    assert is_passing(StageUnavailable("x", "down"))
    assert is_passing(Overloaded("full"))
    assert is_passing(ConnectionResetError())
    assert not is_passing(RateLimited("your own limit"))
    assert not is_passing(InvalidRequest("wrong"))
    assert not is_passing(KeyError())


def test_full_jitter_spreads_over_a_doubling_bound() -> None:
    backoff, rng = Backoff(first_s=1.0, longest_s=4.0), random.Random(1)
    for attempt, bound_s in ((1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        waits = [backoff.wait_s(attempt, StageUnavailable("x", ""), rng) for _ in range(500)]
        assert 0 <= min(waits) < 0.1 * bound_s
        assert 0.9 * bound_s < max(waits) <= bound_s
