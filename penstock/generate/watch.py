"""One timer for a whole stream: the deadline, and how long it may stay silent.

A timer per token would cost more than the token. `expect` only writes a number down; the timer, when it fires, looks
at the number and goes back to sleep if the time is not up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, PenstockError, StageUnavailable


class Watch:
    """Calls `on_expiry` once, with the error to raise. `stop` must be called."""

    def __init__(self, *, ctx: Context, stage: str, on_expiry: Callable[[PenstockError], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stage = stage
        self._on_expiry = on_expiry
        self._deadline_s = self._loop.time() + ctx.remaining_s()
        self._limit_s = math.inf
        self._awaited = ""
        self._armed_s = self._deadline_s
        self._timer = self._loop.call_at(self._armed_s, self._look)
        self.error: PenstockError | None = None

    def expect(self, awaited: str, within_s: float) -> None:
        """Something must happen within this time from now."""
        self._awaited = awaited
        self._limit_s = self._loop.time() + within_s
        if self._limit_s < self._armed_s:
            self._timer.cancel()
            self._arm()

    def rest(self) -> None:
        """It is the reader's turn, so the engine's silence does not count; the deadline does."""
        self._limit_s = math.inf

    def stop(self) -> None:
        self._timer.cancel()

    def _arm(self) -> None:
        self._armed_s = min(self._limit_s, self._deadline_s)
        self._timer = self._loop.call_at(self._armed_s, self._look)

    def _look(self) -> None:
        now_s = self._loop.time()
        if now_s >= self._deadline_s:
            self.error = DeadlineExceeded(stage=self._stage)
        elif now_s >= self._limit_s:
            self.error = StageUnavailable(self._stage, f"no {self._awaited} in time")
        else:
            self._arm()
            return
        self._on_expiry(self.error)
