"""Our counters say in Prometheus' text what the library's own would."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from penstock.telemetry.tally import Counts, Distributions

BOUNDS = (0.001, 0.01, 0.1, 1.0)
VALUES = (0.0, 0.001, 0.0011, 0.05, 0.1, 0.5, 1.0, 3.0)


def lines(registry: CollectorRegistry) -> list[str]:
    text = generate_latest(registry).decode().splitlines()
    return sorted(line for line in text if "_created" not in line)


def test_the_text_is_the_librarys() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("asked", "How many.", ["route", "status"])
    times = Distributions("took_seconds", "How long.", "route", BOUNDS)
    ours.register(counts)
    ours.register(times)
    counter = Counter("asked", "How many.", ["route", "status"], registry=theirs)
    histogram = Histogram("took_seconds", "How long.", ["route"], buckets=BOUNDS, registry=theirs)

    for route in ("/a", "/b"):
        for value in VALUES:
            counts.add(route, "200")
            counter.labels(route, "200").inc()
            times.labels(route).observe(value)
            histogram.labels(route).observe(value)

    assert lines(ours) == lines(theirs)
