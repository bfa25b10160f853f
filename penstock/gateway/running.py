"""An answer from its first delta to its last: taken note of, counted by how it ended, and stopped with its reader."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal

from penstock.core.errors import StageUnavailable
from penstock.core.types import Citation, Delta, FinishReason, Usage
from penstock.gateway.visit import Visit
from penstock.pipeline.question import Answering
from penstock.telemetry.metrics import Metrics

Outcome = Literal["answered", "abstained", "failed", "cancelled"]


class Heard:
    """What an answer has said so far, whatever form it will have on the wire."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.citations: list[Citation] = []
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def tokens(self) -> int | None:
        """What the engine has counted; None where it counts nothing."""
        return None if self.usage is None else self.usage.prompt + self.usage.output

    def add(self, delta: Delta) -> None:
        """Take note of what came. Raises StageUnavailable when the engine says that it broke."""
        if delta.text:
            self._pieces.append(delta.text)
        self.citations += delta.citations
        self.usage = delta.usage or self.usage
        self.finish = delta.finish or self.finish
        if delta.finish == "error":
            raise StageUnavailable("generate", "the engine failed in the middle of its answer.")

    def check_whole(self) -> None:
        """Raise StageUnavailable when the engine went silent: half an answer never looks like a whole one."""
        if self.finish is None:
            raise StageUnavailable("generate", "the engine stopped before its answer was complete.")


async def running(heard: Heard, answering: Answering, visit: Visit, metrics: Metrics) -> AsyncGenerator[Delta]:
    """The deltas, each after it was added."""
    outcome: Outcome = "cancelled"
    try:
        async for delta in answering:
            visit.responded()
            heard.add(delta)
            yield delta
        heard.check_whole()
        outcome = "abstained" if answering.abstained else "answered"
    except Exception:
        outcome = "failed"
        raise
    finally:
        metrics.answers.labels(answering.model, outcome).inc()
        visit.tokens = heard.tokens
        await answering.aclose()
