"""An answer from its first delta to its last: taken note of, counted by how it ended, and stopped with its reader."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from penstock.core.types import Delta
from penstock.gateway.visit import Visit
from penstock.pipeline.question import Answering
from penstock.telemetry.metrics import Metrics

Outcome = Literal["answered", "abstained", "failed", "cancelled"]


class Collecting(Protocol):
    """What an answer becomes."""

    def add(self, delta: Delta) -> None: ...

    def check_whole(self) -> None:
        """Raises StageUnavailable for half an answer."""
        ...

    @property
    def tokens(self) -> int | None:
        """What the engine has counted; None where it counts nothing."""
        ...


async def running(answer: Collecting, answering: Answering, visit: Visit, metrics: Metrics) -> AsyncGenerator[Delta]:
    """The deltas, each after it was added."""
    outcome: Outcome = "cancelled"
    try:
        async for delta in answering:
            visit.responded()
            answer.add(delta)
            yield delta
        answer.check_whole()
        outcome = "abstained" if answering.abstained else "answered"
    except Exception:
        outcome = "failed"
        raise
    finally:
        metrics.answers.labels(answering.model, outcome).inc()
        visit.tokens = answer.tokens
        await answering.aclose()
