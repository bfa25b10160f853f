"""How much may wait: beyond it nothing more is accepted, rather than accepted and left lying."""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock.catalog.jobs import Jobs
from penstock.core.errors import Overloaded

LOOK_EVERY_S = 1.0
SHORTEST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0


class Backlog:
    """Counts are read once a second at most; what is accepted in between is added to them."""

    def __init__(self, *, jobs: Jobs, most: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._jobs = jobs
        self._most = most
        self._clock_s = clock_s
        self._looked_s = float("-inf")
        self._waiting = 0
        self._leaving_a_s = 0.0

    async def check(self, more: int) -> None:
        """Raises Overloaded, saying when there should be room, when `more` files would be too many."""
        now_s = self._clock_s()
        if now_s - self._looked_s >= LOOK_EVERY_S or self._waiting + more > self._most:
            waiting = sum((await self._jobs.counts()).values())
            elapsed_s = now_s - self._looked_s
            if 0 < elapsed_s < LONGEST_RETRY_S:
                self._leaving_a_s = max(0.0, (self._waiting - waiting) / elapsed_s)
            self._waiting, self._looked_s = waiting, now_s
        if self._waiting + more > self._most:
            raise Overloaded(
                f"{self._waiting} files wait to be read, and no more than {self._most} may. Try again later.",
                retry_after_s=self._retry_s(self._waiting + more - self._most),
            )
        self._waiting += more

    def _retry_s(self, over: int) -> float:
        if not self._leaving_a_s:
            return LONGEST_RETRY_S / 4
        return min(LONGEST_RETRY_S, max(SHORTEST_RETRY_S, over / self._leaving_a_s))
