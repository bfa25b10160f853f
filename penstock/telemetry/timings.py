"""How long each stage of one request took."""

from __future__ import annotations

import time
from types import TracebackType

from penstock.telemetry.metrics import Metrics


class Timings:
    """Seconds by stage, in the order in which the stages first ran; a stage that ran twice adds up."""

    def __init__(self, *, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self.seconds: dict[str, float] = {}

    def stage(self, name: str) -> Timed:
        """Time a block, also when it raises."""
        return Timed(self, name)

    def add(self, name: str, took_s: float) -> None:
        """Count time that was measured elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + took_s
        if self._metrics is not None:
            self._metrics.observe_stage(name, took_s)

    def milliseconds(self) -> dict[str, float]:
        """For a response: by stage, in thousandths of a millisecond's precision."""
        return {name: round(seconds * 1000, 3) for name, seconds in self.seconds.items()}


class Timed:
    """A block whose time is added to its timings. A generator would do, at five times the price."""

    __slots__ = ("_began_s", "_name", "_timings")

    def __init__(self, timings: Timings, name: str) -> None:
        self._timings, self._name = timings, name

    def __enter__(self) -> None:
        self._began_s = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timings.add(self._name, time.perf_counter() - self._began_s)
