"""How late the event loop is: somebody computes where nobody should, or there is more work than time.

    lag = LoopLag()
    lag.start()
    lag.quantile(0.99)

Every `every_s` a timer is due; how late it comes is the lag that any callback would have met at that moment.
"""

from __future__ import annotations

import asyncio

from penstock.core.context import MONOTONIC, Clock
from penstock.flow.estimate import Durations


class LoopLag:
    """See the head of this file. `too_late_s` is the lag at which `pressure` is 1."""

    def __init__(self, *, every_s: float = 0.1, too_late_s: float = 0.1, clock: Clock = MONOTONIC) -> None:
        self._every_s = every_s
        self._too_late_s = too_late_s
        self._clock = clock
        self._lags = Durations(half_life_s=10.0, clock=clock)
        self._latest_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    @property
    def latest_s(self) -> float:
        return self._latest_s

    def start(self) -> None:
        self._due_s = self._clock.now_s() + self._every_s
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def quantile(self, share: float) -> float:
        """Of the lags of about the last 10 s."""
        return self._lags.quantile(share)

    def pressure(self) -> float:
        """0 on time, 1 at `too_late_s`."""
        return self._latest_s / self._too_late_s

    def _tick(self) -> None:
        self._latest_s = max(0.0, self._clock.now_s() - self._due_s)
        self._lags.observe(self._latest_s)
        self.start()
