"""The one catalogue of metric names. Prometheus reads it at /metrics; docs/reference/metrics.md describes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from penstock.telemetry.engines import Engine, Engines
from penstock.telemetry.tally import Counts, Distributions

STAGE_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class BatchReport(Protocol):
    """What a batcher says of one batch."""

    @property
    def name(self) -> str: ...

    @property
    def items(self) -> int: ...

    @property
    def longest_wait_s(self) -> float: ...

    @property
    def padding(self) -> float: ...


class Limit(Protocol):
    """A number of places."""

    @property
    def value(self) -> int: ...


class Door(Protocol):
    """What lets requests in."""

    name: str

    @property
    def limit(self) -> Limit: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def waiting(self) -> int: ...


class Tokens(Protocol):
    """Tokens of one generation."""

    @property
    def prompt(self) -> int: ...

    @property
    def cached(self) -> int: ...

    @property
    def output(self) -> int: ...


class Generated(Protocol):
    """What one answer of a language model took."""

    @property
    def model(self) -> str: ...

    @property
    def usage(self) -> Tokens: ...

    @property
    def first_token_s(self) -> float: ...

    @property
    def tokens_per_s(self) -> float: ...

    @property
    def price(self) -> float: ...

    @property
    def complete(self) -> bool: ...


class Metrics:
    """All metrics of one process, in a registry of its own, so that two servers in one test do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counts("penstock_requests_total", "Requests answered.", ["route", "status"])
        self.request_seconds = Distributions(
            "penstock_request_seconds",
            "From the first byte of a request to the last of its answer.",
            "route",
            STAGE_BUCKETS_S,
        )
        self.in_flight = 0
        in_flight = Gauge("penstock_requests_in_flight", "Requests being served now.", registry=self.registry)
        in_flight.set_function(lambda: self.in_flight)
        self.stage_seconds = Distributions(
            "penstock_stage_seconds", "Time of one stage of a question.", "stage", STAGE_BUCKETS_S
        )
        for collector in (self.requests, self.request_seconds, self.stage_seconds):
            self.registry.register(collector)
        self._declare_work()
        self._declare_flow()
        self._declare_generation()

    def _declare_work(self) -> None:
        self.answers = Counter(
            "penstock_answers_total",
            "Answers given, by model and outcome.",
            ["model", "outcome"],
            registry=self.registry,
        )
        self.degraded = Counter(
            "penstock_degraded_total",
            "Optional steps left out or cut down, by step and cause (time, pressure, failure).",
            ["step", "cause"],
            registry=self.registry,
        )
        self.files = Counter("penstock_files_total", "Files ingested, by outcome.", ["outcome"], registry=self.registry)
        self.chunks = Counter("penstock_chunks_total", "Chunks written to an index.", registry=self.registry)
        self.chunks_reused = Counter(
            "penstock_chunks_reused_total", "Of these, with a vector that was there already.", registry=self.registry
        )
        self.jobs = Gauge(
            "penstock_jobs",
            "Files to be read: not yet in the queue, waiting there, worked on.",
            ["state"],
            registry=self.registry,
        )
        self.workers = Gauge("penstock_workers", "Workers that were heard of lately.", registry=self.registry)
        self.leases_lost = Counter(
            "penstock_leases_lost_total", "Jobs taken from workers that fell silent.", registry=self.registry
        )

    def _declare_flow(self) -> None:
        self.batch_items = Histogram(
            "penstock_batch_items",
            "Items that one batch of a stage carried.",
            ["stage"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self.registry,
        )
        self.batch_wait_seconds = Histogram(
            "penstock_batch_wait_seconds",
            "Longest wait of an item in a batch before the batch began.",
            ["stage"],
            buckets=STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.batch_padding = Histogram(
            "penstock_batch_padding",
            "Share of a batch's padded size that carries nothing.",
            ["stage"],
            buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
            registry=self.registry,
        )

        self.breaker = Gauge(
            "penstock_breaker_open",
            "1 while a stage's circuit breaker refuses calls, 0.5 while it tries a few, else 0.",
            ["stage"],
            registry=self.registry,
        )
        self.local_limits = Gauge(
            "penstock_limits_local",
            "1 while the gateways cannot count rates together, and each gives its own part.",
            registry=self.registry,
        )
        self.door = Gauge(
            "penstock_door",
            "Requests inside a door, waiting before it, and how many it lets in.",
            ["door", "what"],
            registry=self.registry,
        )

    def _declare_generation(self) -> None:
        self.generations = Counter(
            "penstock_generations_total",
            "Answers of language models; complete, or broken off by an error or by their reader.",
            ["model", "outcome"],
            registry=self.registry,
        )
        self.generated_tokens = Counter(
            "penstock_generation_tokens_total",
            "Tokens: prompt, of those cached, output.",
            ["model", "kind"],
            registry=self.registry,
        )
        self.generation_first_token_seconds = Histogram(
            "penstock_generation_first_token_seconds",
            "From the request to an engine to its first token.",
            ["model"],
            buckets=STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self.generation_tokens_per_second = Histogram(
            "penstock_generation_tokens_per_second",
            "Tokens a second of one answer, from the first token on.",
            ["model"],
            buckets=(5, 10, 20, 40, 60, 80, 100, 150, 200, 400, 1000),
            registry=self.registry,
        )
        self.generation_price = Counter(
            "penstock_generation_price_total",
            "By the price table, in its currency.",
            ["model"],
            registry=self.registry,
        )

    def observe_generation(self, bill: Generated) -> None:
        """Count one answer of a language model."""
        self.generations.labels(bill.model, "complete" if bill.complete else "broken").inc()
        for kind in ("prompt", "cached", "output"):
            self.generated_tokens.labels(bill.model, kind).inc(getattr(bill.usage, kind))
        self.generation_price.labels(bill.model).inc(bill.price)
        if bill.usage.output:
            self.generation_first_token_seconds.labels(bill.model).observe(bill.first_token_s)
        if bill.complete and bill.tokens_per_s:
            self.generation_tokens_per_second.labels(bill.model).observe(bill.tokens_per_s)

    def watch_engines(self, states: Callable[[], Sequence[Engine]]) -> None:
        """Show how engines stand whenever the metrics are read."""
        self.registry.register(Engines(states))

    def limits_are_local(self, value: bool) -> None:  # noqa: FBT001 - an observer of one fact
        """Whether this gateway keeps quotas alone, because the shared counter is away."""
        self.local_limits.set(value)

    def observe_stage(self, stage: str, took_s: float) -> None:
        """Count one stage of one question."""
        self.stage_seconds.observe(stage, took_s)

    def watch_door(self, door: Door) -> None:
        """Show a door's state whenever the metrics are read."""
        self.door.labels(door.name, "in_flight").set_function(lambda: door.in_flight)
        self.door.labels(door.name, "waiting").set_function(lambda: door.waiting)
        self.door.labels(door.name, "limit").set_function(lambda: door.limit.value)

    def observe_breaker(self, stage: str, state: str) -> None:
        """Show the state of a stage's circuit breaker."""
        self.breaker.labels(stage).set({"open": 1.0, "half_open": 0.5, "ramp": 0.5}.get(state, 0.0))

    def observe_batch(self, report: BatchReport) -> None:
        """Count one batch of a stage."""
        self.batch_items.labels(report.name).observe(report.items)
        self.batch_wait_seconds.labels(report.name).observe(report.longest_wait_s)
        self.batch_padding.labels(report.name).observe(report.padding)

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)
