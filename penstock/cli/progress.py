"""How a long ingestion looks: a bar with rates on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from penstock.pipeline.document import Progress

LINE_EVERY_S = 10.0
SHOWN_FAILURES = 20


class IngestionView:
    """Shows a running ingestion on standard error. Use as a context manager; pass `update` as the report."""

    def __init__(self, *, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        self._began_s = time.monotonic()
        self._line_s = self._began_s
        self._live = (
            Live(console=self._console, refresh_per_second=8, transient=True) if self._console.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if self._live is not None:
            self._live.update(self._table(progress, now_s))
        elif now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            sys.stderr.write(f"{self._title}: {self._sentence(progress, now_s)}\n")

    def finish(self, progress: Progress) -> None:
        """Say how it ended, and name the files that failed."""
        sys.stderr.write(f"{self._title}: {self._sentence(progress, time.monotonic())}\n")
        for failure in progress.failures[:SHOWN_FAILURES]:
            sys.stderr.write(f"  {failure.reason}: {failure.name}: {failure.message}\n")
        if progress.failed > SHOWN_FAILURES:
            sys.stderr.write(f"  and {progress.failed - SHOWN_FAILURES} more that failed\n")

    def _table(self, progress: Progress, now_s: float) -> Table:
        took_s = max(now_s - self._began_s, 0.001)
        table = Table.grid(padding=(0, 2))
        table.add_row(
            f"[bold]{self._title}",
            f"[green]{progress.completed} read",
            f"{progress.unchanged} unchanged",
            f"[red]{progress.failed} failed" if progress.failed else "0 failed",
            f"{progress.chunks} passages",
            f"[cyan]{progress.chunks / took_s:.0f} passages/s",
            f"{took_s:.0f} s",
        )
        return table

    def _sentence(self, progress: Progress, now_s: float) -> str:
        took_s = max(now_s - self._began_s, 0.001)
        return (
            f"{progress.completed} files read into {progress.chunks} passages, {progress.unchanged} unchanged, "
            f"{progress.failed} failed, in {took_s:.1f} s ({progress.chunks / took_s:.0f} passages/s)"
        )
