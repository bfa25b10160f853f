"""Ask a second replica when the first one is unusually slow (Dean and Barroso, "The Tail at Scale", CACM 2013).

    hedge = Hedge(name="search")
    found = await hedge.call([lambda: first.search(query), lambda: second.search(query)])

The second starts after the measured `quantile` of the first's times, or at once when the first fails in a passing way;
the first success wins, and the loser is cancelled and waited for. Hedges are at most `max_share` of the calls, so that
they do not double the load on the day when everything is slow, and none is made before `least_seen` times are known.
Only for work that may be done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from penstock.core.context import MONOTONIC, Clock
from penstock.flow.estimate import Durations
from penstock.flow.retry import is_passing

T = TypeVar("T")


class Hedge:
    """See the head of this file."""

    def __init__(
        self,
        *,
        name: str,
        quantile: float = 0.95,
        max_share: float = 0.05,
        least_seen: int = 50,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._name = name
        self._quantile, self._max_share, self._least_seen = quantile, max_share, least_seen
        self._clock = clock
        self._times = Durations(clock=clock)
        self._allowance = 1.0
        self.hedged = 0

    async def call(self, replicas: Sequence[Callable[[], Awaitable[T]]]) -> T:
        """The first success of the first replica and, if that is slow, the second. Both fail: the first's error."""
        self._allowance = min(10.0, self._allowance + self._max_share)
        first = asyncio.ensure_future(self._timed(replicas[0]))
        tasks: list[asyncio.Future[T]] = [first]
        try:
            if len(replicas) > 1 and self._times.seen >= self._least_seen:
                await asyncio.wait(tasks, timeout=self._times.quantile(self._quantile))
                if _wants_company(first) and self._allowance >= 1.0:
                    self._allowance -= 1.0
                    self.hedged += 1
                    tasks.append(asyncio.ensure_future(self._timed(replicas[1])))
            return await _first_success(tasks)
        finally:
            for task in tasks:
                task.cancel()
            # The loser holds a place at its replica until it has ended.
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _timed(self, call: Callable[[], Awaitable[T]]) -> T:
        began_s = self._clock.now_s()
        result = await call()
        self._times.observe(self._clock.now_s() - began_s)
        return result


def _wants_company(task: asyncio.Future[T]) -> bool:
    if not task.done():
        return True
    error = None if task.cancelled() else task.exception()
    return error is not None and is_passing(error)


async def _first_success(tasks: Sequence[asyncio.Future[T]]) -> T:
    waiting = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done and not task.cancelled() and task.exception() is None:
                return task.result()
    return await tasks[0]
