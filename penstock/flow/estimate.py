"""How long things take: a quantile of recent durations, in constant memory.

Durations are counted in buckets whose bounds grow by a fixed ratio, as in DDSketch (Masson, Rim and Lee, VLDB 2019):
a quantile is off by at most `ERROR` of its value between 10 µs and 1,000 s, and is clamped outside. Counts decay
with age (Cormode et al., forward decay, ICDE 2009), so that a stage that has become slower is believed soon.
"""

from __future__ import annotations

import math

from penstock.core.context import MONOTONIC, Clock

ERROR = 0.05
"""The largest relative error of a quantile."""

_SHORTEST_S = 1e-5
_LONGEST_S = 1e3
_LOG_RATIO = math.log((1 + ERROR) / (1 - ERROR))
_BUCKETS = math.ceil(math.log(_LONGEST_S / _SHORTEST_S) / _LOG_RATIO) + 1
_RESCALE_AT = 20.0
_REFRESH_EVERY = 16


class Durations:
    """Quantiles of recent durations; an observation's weight halves every `half_life_s`.

    >>> search = Durations(half_life_s=30.0)
    >>> for milliseconds in (1, 1, 1, 50):
    ...     search.observe(milliseconds / 1000)
    >>> round(search.quantile(0.5), 3)
    0.001
    """

    def __init__(self, *, half_life_s: float = 30.0, clock: Clock = MONOTONIC) -> None:
        self._rate = math.log(2.0) / half_life_s
        self._clock = clock
        self._began_s = clock.now_s()
        self._counts = [0.0] * _BUCKETS
        self._total = 0.0
        self._weighted_s = 0.0
        self._seen = 0
        self._last_s = -math.inf
        self._cached: dict[float, float] = {}
        self._fresh_for = 0

    @property
    def seen(self) -> int:
        """Observations so far, undecayed."""
        return self._seen

    @property
    def idle_s(self) -> float:
        """Since the last observation; infinite before the first. A quantile does not age by itself."""
        return self._clock.now_s() - self._last_s

    def observe(self, duration_s: float) -> None:
        self._last_s = self._clock.now_s()
        exponent = self._rate * (self._last_s - self._began_s)
        if exponent > _RESCALE_AT:
            self._rescale(math.exp(-min(exponent, 700.0)))
            exponent = 0.0
        weight = math.exp(exponent)
        self._counts[_bucket_of(duration_s)] += weight
        self._total += weight
        self._weighted_s += weight * duration_s
        self._seen += 1
        # Walking the buckets costs more than counting: a quantile may lag behind by 16 observations, or a sixteenth.
        self._fresh_for -= 1
        if self._fresh_for < 0:
            self._cached.clear()
            self._fresh_for = min(_REFRESH_EVERY, self._seen // 16)

    def quantile(self, share: float, *, default: float = 0.0) -> float:
        """The duration that `share` of the recent ones did not exceed; `default` before the first observation."""
        if not self._seen:
            return default
        cached = self._cached.get(share)
        if cached is None:
            cached = self._cached[share] = self._walk(share)
        return cached

    def mean(self, *, default: float = 0.0) -> float:
        """The decayed mean; `default` before the first observation."""
        return self._weighted_s / self._total if self._seen else default

    def _walk(self, share: float) -> float:
        wanted = share * self._total
        passed = 0.0
        last = 0
        for index, count in enumerate(self._counts):
            if count:
                passed += count
                last = index
                if passed >= wanted:
                    break
        return _middle_of(last)

    def _rescale(self, factor: float) -> None:
        # Weights grow with time; before they overflow, all shrink so that the newest weighs 1.
        self._counts = [count * factor for count in self._counts]
        self._total *= factor
        self._weighted_s *= factor
        self._began_s = self._clock.now_s()


def _bucket_of(duration_s: float) -> int:
    if duration_s <= _SHORTEST_S:
        return 0
    return min(_BUCKETS - 1, math.ceil(math.log(duration_s / _SHORTEST_S) / _LOG_RATIO))


def _middle_of(bucket: int) -> float:
    """The value within ERROR of everything that falls into `bucket`."""
    upper = _SHORTEST_S * math.exp(bucket * _LOG_RATIO)
    return upper * (1 - ERROR) if bucket else _SHORTEST_S
