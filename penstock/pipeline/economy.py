"""Looks at the clock, the pressure and what stages took lately; asks degrade.py what to give up; counts it."""

from __future__ import annotations

from collections.abc import Callable

from penstock.config import DegradeSettings
from penstock.core.context import MONOTONIC, Clock, Context
from penstock.core.types import Outlook
from penstock.flow.estimate import Durations
from penstock.pipeline.degrade import Course, Situation, Taken, answering, reranking
from penstock.telemetry.metrics import Metrics

STALE_S = 10.0
"""A stage that nobody has tried for so long is tried again, whatever it took then: it may have recovered."""
P95 = 0.95


class Measured:
    """What one stage took lately."""

    def __init__(self, *, clock: Clock = MONOTONIC) -> None:
        self._durations = Durations(clock=clock)

    def observe(self, took_s: float) -> None:
        self._durations.observe(took_s)

    def p95_s(self) -> float | None:
        """None when it was not tried lately."""
        return None if self._durations.idle_s > STALE_S else self._durations.quantile(P95)


class Economy:
    """`pressure` is asked at each decision: 0 idle, 1 at the limit."""

    def __init__(
        self,
        *,
        settings: DegradeSettings,
        metrics: Metrics,
        pressure: Callable[[], float] = lambda: 0.0,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._pressure = pressure
        self.rerank = Measured(clock=clock)
        self.first_word = Measured(clock=clock)

    def reranking(self, ctx: Context, *, answers: bool) -> Taken | None:
        """The step of leaving the reranking out; None: do it. `answers` says whether an answer follows."""
        if not self._settings.enabled:
            return None
        now = Situation(
            remaining_s=ctx.remaining_s(),
            pressure=self._pressure(),
            rerank_s=self.rerank.p95_s(),
            after_s=(self.first_word.p95_s() or 0.0) if answers else 0.0,
        )
        return self.counted(reranking(now, self._settings))

    def answering(self, ctx: Context, *, outlook: Outlook, passages: int, output_tokens: int | None) -> Course:
        """How the answer is made."""
        if not self._settings.enabled:
            return Course()
        now = Situation(
            remaining_s=ctx.remaining_s(),
            pressure=self._pressure(),
            outlook=outlook,
            passages=passages,
            output_tokens=output_tokens,
        )
        course = answering(now, self._settings)
        for taken in course.taken:
            self.counted(taken)
        return course

    def counted(self, taken: Taken | None) -> Taken | None:
        """Count a step, decided here or forced by a failure."""
        if taken is not None:
            self._metrics.degraded.labels(taken.step, taken.cause).inc()
        return taken
