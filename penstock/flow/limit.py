"""How many may be at work at once: a fixed number, or one that follows measured latency.

The adaptive limit is the gradient controller of Envoy's adaptive concurrency filter and of Netflix's
concurrency-limits ("gradient2"); the unloaded latency is measured as BBR measures its round-trip time, by a short
drain:

    gradient = clamp(tolerance x unloaded / latency, 0.5, 1)
    limit   += sqrt(limit)                                           while the gradient is 1 and the limit is in use
    limit    = limit x (1 + gradient) / 2 + sqrt(limit) / 4          otherwise

`latency` is the median of a window, which begins one latency after the last step: before, what ends was under way
already, and cannot show what the step did. `unloaded` is learned in windows in which less than half of the limit was
used and, when there was none for `drain_every_s`, in one for which the limit is lowered so far that the queue behind
it empties.
Under steady overload of a server with S slots the limit settles near S x tolerance + sqrt(S) / 2.

A server that batches gets slower before it is full. Latencies under `floor_s` are therefore never taken as a sign of
congestion: set it to the latency that you are content with.

Weakness: the median speaks for the bulk. Where short and long work share one limit, a shift of the mix looks like a
change of load until some windows without load have passed. A limit holds no less than `lowest`, so a server with fewer
slots than that queues behind it.
"""

from __future__ import annotations

import math
from typing import Protocol

from penstock.core.context import MONOTONIC, Clock

_FIRST_WINDOWS = 4
"""Nothing is known before: these teach what unloaded is, loaded or not."""


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
        tolerance: float = 1.07,
        window_s: float = 0.1,
        window_samples: int = 32,
        drain_every_s: float = 5.0,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._exact = float(initial)
        self._lowest, self._highest = lowest, highest
        self._floor_s, self._tolerance = floor_s, tolerance
        self._window_s, self._window_samples = window_s, window_samples
        self._drain_every_s = drain_every_s
        self._clock = clock
        self._samples: list[float] = []
        self._settled_s = clock.now_s()
        self._slack_at_s = clock.now_s()
        self._busiest = 0
        self._has_dropped = False
        self._windows = 0
        self._is_draining = False
        self._unloaded_s = 0.0
        self.value = initial

    @property
    def unloaded_s(self) -> float:
        """The latency that counts as unloaded; 0 before the first window."""
        return self._unloaded_s

    def observe(self, duration_s: float, in_flight: int) -> None:
        now_s = self._clock.now_s()
        if now_s < self._settled_s:
            return
        self._samples.append(duration_s)
        self._busiest = max(self._busiest, in_flight)
        # A small limit brings few samples: rather judge by fewer than late.
        enough = min(self._window_samples, max(8, self.value))
        if len(self._samples) >= enough and now_s - self._settled_s >= self._window_s:
            self._close_window(now_s)

    def dropped(self) -> None:
        # One step down a window, however many ran out of time in it: they waited in the same queue.
        if not self._has_dropped:
            self._has_dropped = True
            self._set(self._exact * 0.9)

    def _close_window(self, now_s: float) -> None:
        self._samples.sort()
        median_s = self._samples[len(self._samples) // 2]
        has_slack = self._busiest < self._exact * 0.5
        self._windows += 1
        if has_slack or self._is_draining or self._windows <= _FIRST_WINDOWS:
            self._learn(median_s)
            self._slack_at_s = now_s
        if self._windows == 1:
            pass  # The very first to end are the shortest: this window only tells how long one is.
        elif self._is_draining:
            self._is_draining = False
            self._set(self._exact)
        elif not has_slack:
            self._step(median_s, now_s)
        self._samples.clear()
        # Not only what began after the step, because of that the short ones end first.
        self._settled_s = now_s + median_s
        self._busiest = 0
        self._has_dropped = False

    def _learn(self, median_s: float) -> None:
        # The mean of such windows, not their least: a minimum of noisy medians is always too low.
        if self._windows <= 2:
            self._unloaded_s = median_s
        else:
            self._unloaded_s += (median_s - self._unloaded_s) * 0.5

    def _step(self, median_s: float, now_s: float) -> None:
        reference_s = max(self._unloaded_s * self._tolerance, self._floor_s)
        gradient = min(1.0, max(0.5, reference_s / max(median_s, 1e-9)))
        room = 0.0 if self._has_dropped else math.sqrt(self._exact)
        if gradient == 1.0:
            if self._busiest >= 0.9 * self._exact:  # A limit that nobody touches has no reason to grow.
                self._set(self._exact + room)
        else:
            self._set(self._exact * (1.0 + gradient) / 2 + room / 4)
        if now_s - self._slack_at_s >= self._drain_every_s and median_s > self._floor_s:
            self._is_draining = True
            share = min(1.0, max(0.5, self._unloaded_s / median_s))
            self.value = max(self._lowest, int(self._exact * share * 0.95))

    def _set(self, exact: float) -> None:
        self._exact = min(float(self._highest), max(float(self._lowest), exact))
        self.value = round(self._exact)
