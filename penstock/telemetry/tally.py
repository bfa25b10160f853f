"""Counters and histograms for what happens thousands of times a second.

The library's own take a lock for each number they touch, which is most of what a cheap request costs. These are plain
integers; `collect` turns them into the library's families when somebody reads the metrics.

Weakness: they belong to the event loop's thread. What is counted from other threads goes to the library's own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Counts(Collector):
    """A counter with labels."""

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str) -> None:
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        yield family


class Distribution:
    """One histogram: how many values fell under each bound, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Distributions(Collector):
    """A histogram with one label."""

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float]) -> None:
        self._name, self._about, self._label, self._bounds = name, about, label, bounds
        self._known: dict[str, Distribution] = {}

    def labels(self, value: str) -> Distribution:
        """The one of this label; keep it, where the label is known beforehand."""
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = Distribution(self._bounds)
        return known

    def observe(self, label: str, value: float) -> None:
        known = self._known.get(label) or self.labels(label)
        known.counts[bisect_left(self._bounds, value)] += 1
        known.total += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._about, labels=[self._label])
        bounds = [str(float(bound)) for bound in self._bounds] + ["+Inf"]
        for label, known in list(self._known.items()):
            passed = 0
            buckets = []
            for bound, count in zip(bounds, known.counts, strict=True):
                passed += count
                buckets.append((bound, passed))
            family.add_metric([label], buckets, known.total)
        yield family
