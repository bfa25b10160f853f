"""The one catalogue of metric names. Prometheus reads it at /metrics; docs/reference/metrics.md describes it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

STAGE_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """All metrics of one process, in a registry of its own, so that two servers in one test do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "penstock_requests_total", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "penstock_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.requests_in_flight = Gauge(
            "penstock_requests_in_flight", "Requests being served now.", registry=self.registry
        )
        self.stage_seconds = Histogram(
            "penstock_stage_seconds",
            "Time of one stage of a question.",
            ["stage"],
            buckets=STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.answers = Counter(
            "penstock_answers_total",
            "Answers given, by model and outcome.",
            ["model", "outcome"],
            registry=self.registry,
        )
        self.files = Counter("penstock_files_total", "Files ingested, by outcome.", ["outcome"], registry=self.registry)
        self.chunks = Counter("penstock_chunks_total", "Chunks written to an index.", registry=self.registry)

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)
