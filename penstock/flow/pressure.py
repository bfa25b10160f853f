"""One number for how hard it is right now, from several.

    pressure = Pressure(sources={"door": door.pressure, "loop": lag.pressure})
    pressure.level()     0 idle, 1 at the limit, more: beyond it
    pressure.cause()     the source that is worst

It follows a rise within `rise_s` and a fall within `fall_s`, which is slower: whoever switches on it should not
switch back at the first quiet moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from penstock.core.context import MONOTONIC, Clock


class Pressure:
    """See the head of this file."""

    def __init__(
        self,
        *,
        sources: Mapping[str, Callable[[], float]] = MappingProxyType({}),
        rise_s: float = 0.2,
        fall_s: float = 2.0,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._sources = dict(sources)
        self._rise_s, self._fall_s = rise_s, fall_s
        self._clock = clock
        self._level = 0.0
        self._at_s = clock.now_s()

    def watch(self, name: str, source: Callable[[], float]) -> None:
        """One source more."""
        self._sources[name] = source

    def level(self) -> float:
        """The smoothed worst of all sources."""
        now_s = self._clock.now_s()
        worst = max((source() for source in self._sources.values()), default=0.0)
        inertia_s = self._rise_s if worst > self._level else self._fall_s
        self._level += (worst - self._level) * (1.0 - math.exp((self._at_s - now_s) / inertia_s))
        self._at_s = now_s
        return self._level

    def cause(self) -> str:
        """The source that is worst at this moment; empty without sources."""
        return max(self._sources, key=lambda name: self._sources[name](), default="")
