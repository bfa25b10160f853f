"""How long each stage of one request took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.telemetry.metrics import Metrics


class Timings:
    """Seconds by stage, in the order in which the stages first ran; a stage that ran twice adds up."""

    def __init__(self, *, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block, also when it raises."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began_s)

    def add(self, name: str, took_s: float) -> None:
        """Count time that was measured elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + took_s
        if self._metrics is not None:
            self._metrics.observe_stage(name, took_s)

    def milliseconds(self) -> dict[str, float]:
        """For a response: by stage, in thousandths of a millisecond's precision."""
        return {name: round(seconds * 1000, 3) for name, seconds in self.seconds.items()}
