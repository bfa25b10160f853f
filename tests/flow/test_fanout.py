from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, InvalidRequest, StageUnavailable
from penstock.flow.fanout import scatter
from tests.flow.callers import caller
from tests.simulation.loop import VirtualLoop, virtual


def shard(seconds: float, error: Exception | None = None) -> Callable[[Context], Awaitable[float]]:
    async def ask(ctx: Context) -> float:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return ctx.remaining_s()

    return ask


@virtual
async def test_what_came_in_time_counts_and_the_rest_is_named(loop: VirtualLoop) -> None:
    down = StageUnavailable("c", "down")
    gathered = await scatter(
        {"a": shard(0.1), "b": shard(9.0), "c": shard(0.1, down), "d": shard(0.5)},
        ctx=caller(loop, timeout_s=2.0),
        spare_s=0.5,
    )
    assert loop.time() == pytest.approx(1001.5)
    assert list(gathered.results) == ["a", "d"]
    assert gathered.results["a"] == pytest.approx(1.4)
    assert isinstance(gathered.missing["b"], DeadlineExceeded)
    assert gathered.missing["c"] is down
    assert gathered.coverage == 0.5


@virtual
async def test_too_few_is_an_error_that_says_why(loop: VirtualLoop) -> None:
    ctx = caller(loop, timeout_s=2.0)
    down = StageUnavailable("a", "down")
    with pytest.raises(StageUnavailable, match="0 of 2 answered"):
        await scatter({"a": shard(0.1, down), "b": shard(0.1, down)}, ctx=ctx)
    with pytest.raises(StageUnavailable, match="1 of 2 answered"):
        await scatter({"a": shard(0.1, down), "b": shard(0.1)}, ctx=ctx, least=2)
    with pytest.raises(InvalidRequest):
        await scatter({"a": shard(0.1, InvalidRequest("wrong"))}, ctx=ctx)
    with pytest.raises(DeadlineExceeded):
        await scatter({"a": shard(9.0)}, ctx=ctx)
    with pytest.raises(DeadlineExceeded):
        await scatter({"a": shard(0.0)}, ctx=ctx)


@virtual
async def test_nobody_asked_is_a_whole_answer(loop: VirtualLoop) -> None:
    assert (await scatter({}, ctx=caller(loop))).coverage == 1.0


@virtual
async def test_the_callers_cancellation_reaches_all(loop: VirtualLoop) -> None:
    task = asyncio.create_task(scatter({"a": shard(9.0), "b": shard(9.0)}, ctx=caller(loop)))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert len(asyncio.all_tasks()) == 1
