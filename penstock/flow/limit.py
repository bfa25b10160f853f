"""How many may be at work at once: a fixed number, or one that follows measured latency.

The adaptive limit is the gradient controller of Envoy's adaptive concurrency filter and of Netflix's
concurrency-limits ("gradient2"), with the baseline kept as BBR keeps its round-trip time:

    gradient = clamp(tolerance x baseline / latency, 0.5, 1)        latency: median of the last window
    limit    = limit x gradient + sqrt(limit)                       sqrt(limit): room to find more capacity

`baseline` is the lowest median of any window of the last `memory_s`. A limit that has been full for so long that
the baseline would only repeat its own queue is lowered for one window, so that the queue drains and the baseline is
measured anew. Under steady overload of a server with S slots this settles near S + sqrt(S), so latency
near 1 + 1/sqrt(S) of the unloaded one.

A server that batches gets slower before it is full. Latencies under `floor_s` are therefore never taken as a sign of
congestion: set it to the latency that you are content with.

Weakness: the median speaks for the bulk. Where short and long work share one limit, a shift of the mix looks like a
change of load until `memory_s` has passed.
"""

from __future__ import annotations

import math
from typing import Protocol

from penstock.core.context import MONOTONIC, Clock


class Limit(Protocol):
    """A number that may move as work is observed."""

    @property
    def value(self) -> int: ...

    def observe(self, duration_s: float, in_flight: int) -> None:
        """Work has succeeded after `duration_s`; `in_flight` were at work beside it when it ended, itself included."""
        ...

    def dropped(self) -> None:
        """Work has run into its deadline."""
        ...


class FixedLimit:
    """A number that somebody knows: slots of an engine, connections of a pool."""

    def __init__(self, value: int) -> None:
        self.value = value

    def observe(self, duration_s: float, in_flight: int) -> None:
        """Nothing to learn."""

    def dropped(self) -> None:
        """Nothing to learn."""


class AdaptiveLimit:
    """Follows latency between `lowest` and `highest`; see the head of this file."""

    def __init__(
        self,
        *,
        initial: int = 16,
        lowest: int = 4,
        highest: int = 1024,
        floor_s: float = 0.0,
        tolerance: float = 1.05,
        window_s: float = 0.1,
        window_samples: int = 16,
        memory_s: float = 10.0,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._exact = float(initial)
        self._lowest, self._highest = lowest, highest
        self._floor_s, self._tolerance = floor_s, tolerance
        self._window_s, self._window_samples = window_s, window_samples
        self._memory_s = memory_s
        self._clock = clock
        self._samples: list[float] = []
        self._window_began_s = clock.now_s()
        self._busiest = 0
        self._drops = 0
        self._baseline = _LowestMedian(memory_s=memory_s)
        self._slack_at_s = clock.now_s()
        self._draining = False
        self.value = initial

    @property
    def baseline_s(self) -> float:
        """The latency that counts as unloaded; 0 before the first window."""
        return self._baseline.value_s

    def observe(self, duration_s: float, in_flight: int) -> None:
        self._samples.append(duration_s)
        self._busiest = max(self._busiest, in_flight)
        if len(self._samples) >= self._window_samples:
            now_s = self._clock.now_s()
            if now_s - self._window_began_s >= self._window_s:
                self._close_window(now_s)

    def dropped(self) -> None:
        # One step down a window, however many ran out of time in it: they waited in the same queue.
        self._drops += 1
        if self._drops == 1:
            self._set(self._exact * 0.9)

    def _close_window(self, now_s: float) -> None:
        self._samples.sort()
        median_s = self._samples[len(self._samples) // 2]
        self._baseline.observe(median_s, now_s)
        if self._draining or self._busiest < self._exact * 0.5:
            self._slack_at_s = now_s
        if self._draining:
            self._draining = False
        elif self._busiest >= self._exact * 0.5:
            self._step(median_s, now_s)
        self._samples.clear()
        self._window_began_s = now_s
        self._busiest = 0
        self._drops = 0

    def _step(self, median_s: float, now_s: float) -> None:
        reference_s = max(self._baseline.value_s * self._tolerance, self._floor_s)
        gradient = min(1.0, max(0.5, reference_s / max(median_s, 1e-9)))
        room = math.sqrt(self._exact) if not self._drops else 0.0
        wanted = self._exact * gradient + room
        self._set(self._exact + (wanted - self._exact) * 0.5)
        if now_s - self._slack_at_s > self._memory_s * 0.5 and median_s > self._floor_s:
            self._draining = True
            self._set_value(max(self._lowest, int(self._exact * gradient * 0.8)))

    def _set(self, exact: float) -> None:
        self._exact = min(float(self._highest), max(float(self._lowest), exact))
        self._set_value(round(self._exact))

    def _set_value(self, value: int) -> None:
        self.value = value


class _LowestMedian:
    """The least of the recent medians, over the present half of the memory and the one before."""

    def __init__(self, *, memory_s: float) -> None:
        self._half_s = memory_s / 2
        self._began_s = -math.inf
        self._before_s = math.inf
        self._present_s = math.inf

    @property
    def value_s(self) -> float:
        least = min(self._before_s, self._present_s)
        return 0.0 if least == math.inf else least

    def observe(self, median_s: float, now_s: float) -> None:
        if now_s - self._began_s > self._half_s:
            self._before_s, self._present_s = self._present_s, math.inf
            self._began_s = now_s
        self._present_s = min(self._present_s, median_s)
