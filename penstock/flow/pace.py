"""Coming in one after another, not all at once, where there are more than places.

Work that was begun together ends together, when it takes about as long: then all places come free in one moment, are
taken in that moment, and whoever comes in between waits for a whole service time. While there was no place lately, two
who come in are therefore some time apart: a little less than those who end are in the mean. So what ends spreads itself
over the whole service time within a few of them. Pacing by a measured rate with a gain is BBR's (Cardwell and others,
2016).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

GAIN = 1.25
"""How much faster than the mean: more spreads too slowly, less leaves places empty."""

_SHORTEST_GAP_S = 0.001
"""A timer is no more exact than that, and nobody notices."""
_BURST = 4
"""So many may make up for a delay of ours."""
_TIMER_ERROR_S = 1e-6


class Pace:
    """The moments at which somebody may come in."""

    def __init__(self) -> None:
        self._until_s = self._next_s = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_kept(self) -> bool:
        """Whether somebody waits for his moment."""
        return self._timer is not None

    def was_full(self, now_s: float, service_s: float) -> None:
        """There was no place: for two service times from now on the pace is kept."""
        if now_s >= self._until_s:
            self._next_s = now_s
        self._until_s = now_s + 2 * service_s

    def lets_in(self, now_s: float, mean_gap_s: float) -> bool:
        """Whether one may come in now; then the next one may after a gap."""
        gap_s = mean_gap_s / GAIN
        if now_s >= self._until_s or gap_s < _SHORTEST_GAP_S:
            return True
        if now_s < self._next_s - _TIMER_ERROR_S:
            return False
        self._next_s = max(self._next_s, now_s - _BURST * gap_s) + gap_s
        return True

    def call_later(self, now_s: float, serve: Callable[[], None]) -> None:
        """Call `serve` when the next one may come in, if that is not now; one call is enough for all who wait."""
        if self._timer is None and self._next_s > now_s:
            self._timer = asyncio.get_running_loop().call_later(self._next_s - now_s, self._due, serve)

    def _due(self, serve: Callable[[], None]) -> None:
        self._timer = None
        serve()
