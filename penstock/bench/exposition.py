"""The server's /metrics, read twice: what happened in between."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
from prometheus_client.parser import text_string_to_metric_families

STAGES = "penstock_stage_seconds"
BATCHES = "penstock_batch_items"
LOOP_LAG = "penstock_loop_lag_seconds"


class Scrape(msgspec.Struct, frozen=True):
    """Every sample by its name and labels."""

    values: dict[tuple[str, tuple[tuple[str, str], ...]], float]

    def value(self, name: str) -> float | None:
        """Of a metric without labels."""
        return self.values.get((name, ()))


class Spread(msgspec.Struct, frozen=True):
    """A histogram over a time. Quantiles are read off its buckets, so they are only as fine as these."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float


def read_exposition(text: str) -> Scrape:
    """Raises ValueError when it is not Prometheus' text format."""
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return Scrape(values)


def spreads(before: Scrape, after: Scrape, name: str, *, factor: float = 1.0) -> dict[str, Spread]:
    """A histogram's growth by its one label (empty when it has none), times `factor`."""
    found: dict[str, Spread] = {}
    for labels in _labels(after, name):
        key = tuple(sorted(labels.items()))
        count = _growth(before, after, f"{name}_count", key)
        if count > 0:
            total = _growth(before, after, f"{name}_sum", key)
            edges = sorted(
                (float(dict(sample_key)["le"]), _growth(before, after, f"{name}_bucket", sample_key))
                for sample_name, sample_key in after.values
                if sample_name == f"{name}_bucket" and _without_edge(sample_key) == key
            )
            p50, p95, p99 = (_read_off(edges, share * count) * factor for share in (0.5, 0.95, 0.99))
            mean = total / count * factor
            found[next(iter(labels.values()), "")] = Spread(
                int(count), *(round(value, 3) for value in (mean, p50, p95, p99))
            )
    return found


def _labels(scrape: Scrape, name: str) -> Iterator[dict[str, str]]:
    for sample_name, key in scrape.values:
        if sample_name == f"{name}_count":
            yield dict(key)


def _without_edge(key: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(label for label in key if label[0] != "le")


def _growth(before: Scrape, after: Scrape, name: str, key: tuple[tuple[str, str], ...]) -> float:
    return after.values.get((name, key), 0.0) - before.values.get((name, key), 0.0)


def _read_off(edges: list[tuple[float, float]], wanted: float) -> float:
    """Straight lines within a bucket; the last finite edge for what lies beyond it."""
    below, seen = 0.0, 0.0
    for edge, upto in edges:
        if upto >= wanted:
            if math.isinf(edge):
                return below
            return below + (edge - below) * (wanted - seen) / max(upto - seen, 1e-12)
        below, seen = edge, upto
    return below
