"""How many may be at work at once: a fixed number, or one that follows measured latency.

The adaptive limit looks for the edge, the number above which work waits behind, as TCP Vegas does (Brakmo and Peterson,
1994), and remembers where it was, as CUBIC does (RFC 9438). Windows of work that began when the limit was used to the
full are judged by their mean: by Little's law a server with S slots and L > S callers takes L / S times as long in the
mean, however its queue goes.

    queued = mean > unloaded x (1 + noise)             noise: two standard errors of such a mean
    limit  = edge = limit x unloaded / mean            where there is a queue
    limit += 3, 6, 12 ..., by half at most             where there is none and no edge has been found
    limit += sqrt(limit), up to the edge               where there is none below it
    limit += 1, 2, 4 ...                               where there is none at it, `probe_every_s` after it was found

`unloaded` is learned from work that began when less than half of the limit was used and, when there was none for
`drain_every_s`, from one window for which the limit is lowered so far that the queue behind it empties (as BBR measures
its round-trip time). How much such work scatters decides what is noise, and how many samples a window needs.

A server that batches gets slower before it is full. Latencies under `floor_s` are therefore never taken as a sign of
congestion: set it to the latency that you are content with.

Weakness: the mean speaks for the bulk. Where short and long work share one limit, a shift of the mix looks like a
change of load until some windows without load have passed. A limit holds no less than `lowest`, so a server with fewer
slots than that queues behind it.
"""

from __future__ import annotations

import math
import statistics
from typing import Protocol

from penstock.core.context import MONOTONIC, Clock

_FEWEST_SAMPLES = 32
_MOST_SAMPLES = 128
_LEAST_NOISE = 0.02
_FIRST_STRIDE = 3.0


class Limit(Protocol):
    """A number that may move as work is observed."""

    @property
    def value(self) -> int: ...

    def observe(self, duration_s: float, in_flight: int) -> None:
        """Work has succeeded after `duration_s`; `in_flight` were at work when it began, itself included."""
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
        initial: int = 32,
        lowest: int = 4,
        highest: int = 1024,
        floor_s: float = 0.0,
        window_s: float = 0.1,
        drain_every_s: float = 5.0,
        probe_every_s: float = 1.0,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._exact = float(initial)
        self._lowest, self._highest = lowest, highest
        self._floor_s, self._window_s = floor_s, window_s
        self._drain_every_s, self._probe_every_s = drain_every_s, probe_every_s
        self._clock = clock
        self._full: list[float] = []
        self._slack: list[float] = []
        self._stepped_s = self._settled_s = self._slack_at_s = clock.now_s()
        self._has_dropped = False
        self._is_draining = False
        self._is_guessed = True
        self._unloaded_s = 0.0
        self._scatter = self._fell_at_s = 0.0
        self._let_in, self._elder = initial, 0.0  # at the last step: how many, and how many of them are still awaited
        self._edge, self._edge_s, self._stride = math.inf, 0.0, _FIRST_STRIDE
        self.value = initial

    @property
    def unloaded_s(self) -> float:
        """The latency that counts as unloaded; 0 before the first window."""
        return self._unloaded_s

    def observe(self, duration_s: float, in_flight: int) -> None:
        now_s = self._clock.now_s()
        if now_s - duration_s < self._stepped_s:
            self._elder -= 1.0
        if self._elder > 0.0 and now_s < self._settled_s:
            # Most of those at work began under another limit; and of those that began later the short ones end first.
            return
        if self._is_draining or in_flight < self._exact * 0.5:
            self._slack.append(duration_s)
            if len(self._slack) >= self._enough():
                self._learn(self._slack, is_guess=not self._unloaded_s)
        elif in_flight >= self._exact * 0.9:
            self._full.append(duration_s)
            if len(self._full) >= self._enough() and now_s - self._stepped_s >= self._window_s:
                self._judge(now_s)

    def dropped(self) -> None:
        # One step down a window, however many ran out of time in it: they waited in the same queue.
        if not self._has_dropped:
            self._has_dropped = True
            self._set(self._exact * 0.9)

    def _enough(self) -> int:
        """Samples from which a rise of a tenth shows, within reason; a small limit would bring many too late."""
        wanted = min(_MOST_SAMPLES, max(_FEWEST_SAMPLES, round((20 * self._scatter) ** 2)))
        return min(wanted, max(8, 4 * self.value))

    def _learn(self, samples: list[float], *, is_guess: bool) -> None:
        mean_s, scatter = _spread(samples)
        # The mean of such windows, not their least: a minimum of noisy means is always too low.
        is_slower = self._is_draining and mean_s > self._unloaded_s * (1.0 + self._noise(len(samples)))
        weight = 1.0 if self._is_guessed or is_slower else 0.5
        if is_slower:
            self._edge = math.inf  # It was found by what is no longer so.
        self._unloaded_s += (mean_s - self._unloaded_s) * weight
        self._scatter += (scatter - self._scatter) * weight
        self._is_guessed = is_guess
        self._slack_at_s = self._clock.now_s()
        self._slack.clear()
        if self._is_draining:
            self._is_draining = False
            self._step(self._exact)

    def _judge(self, now_s: float) -> None:
        """Full for a whole window: is there a queue behind?"""
        mean_s, scatter = _spread(self._full)
        if not self._unloaded_s:  # The very first to end are the shortest: they only tell about how long one is.
            self._unloaded_s, self._scatter = mean_s, scatter
            self._full.clear()
            self._begin(now_s)
            return
        noise = self._noise(len(self._full))
        content_s = max(self._unloaded_s, self._floor_s)
        is_queued = mean_s > content_s * (1.0 + noise)
        # Half as many should wait half as long: where they do not, all work has become slower.
        is_doubtful = is_queued and (self._is_guessed or mean_s > self._fell_at_s * (1.0 - noise) > 0.0)
        if is_queued and not self._is_guessed:
            hidden_s = content_s * (1.0 + noise - _LEAST_NOISE)  # A queue that drowns in the scatter harms nobody.
            self._fell_at_s = mean_s
            self._edge, self._edge_s, self._stride = self._exact * max(0.5, hidden_s / mean_s), now_s, 1.0
            self._step(self._edge)
        elif is_queued or self._has_dropped:
            self._step(self._exact)
        else:
            self._fell_at_s = 0.0
            self._rise(now_s)
        # Where nothing waits, this very window was nearly unloaded.
        patience_s = self._drain_every_s * (1 if is_queued or self._is_guessed else 4)
        if mean_s > self._floor_s and (is_doubtful or now_s - self._slack_at_s >= patience_s):
            self._drain(now_s, mean_s)

    def _drain(self, now_s: float, mean_s: float) -> None:
        """Empty the queue behind, to see what unloaded is."""
        self._is_draining = True
        share = 0.95 * min(1.0, max(0.5, self._unloaded_s / mean_s))
        self.value = max(self._lowest, int(self._exact * share))
        self._slack.clear()
        self._begin(now_s)

    def _noise(self, samples: int) -> float:
        return max(_LEAST_NOISE, 2 * self._scatter / math.sqrt(samples))

    def _rise(self, now_s: float) -> None:
        """Higher: at first ever faster, later up to where the edge was, and a little beyond."""
        exact, is_known = self._exact, self._edge < math.inf
        if is_known and exact < self._edge:
            self._step(min(self._edge, exact + math.sqrt(exact)))
        elif not is_known or now_s - self._edge_s >= self._probe_every_s:
            self._step(exact + min(self._stride, exact / 2))
            self._stride *= 2
            if is_known:
                self._edge = self._exact
        else:
            self._step(exact)

    def _step(self, exact: float) -> None:
        """Begin a new window; what is under way says nothing of it, unless all stays as it is."""
        if self._set(exact) or self._has_dropped:
            self._begin(self._clock.now_s())
        self._full.clear()
        self._has_dropped = False

    def _begin(self, now_s: float) -> None:
        """Nothing says anything of the new limit until nearly all that began before has ended."""
        self._stepped_s, self._settled_s = now_s, now_s + 4.0 * self._unloaded_s
        self._let_in, self._elder = self.value, 0.95 * self._let_in

    def _set(self, exact: float) -> bool:
        self._exact = min(float(self._highest), max(float(self._lowest), exact))
        before, self.value = self.value, round(self._exact)
        return before != self.value


def _spread(samples: list[float]) -> tuple[float, float]:
    """Mean, and standard deviation as a share of it; one straggler counts as eight usual ones at most."""
    most_s = 8 * statistics.median(samples)
    kept = [min(sample, most_s) for sample in samples]
    mean_s = statistics.fmean(kept)
    return mean_s, statistics.pstdev(kept, mean_s) / max(mean_s, 1e-9)
