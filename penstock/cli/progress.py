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
        self._total_bytes = 0
        self._resumed_bytes: int | None = None
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

    def expect(self, total_bytes: int) -> None:
        """How much there is in all; 0: that is not known."""
        self._total_bytes = total_bytes

    def update(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if self._resumed_bytes is None:
            self._resumed_bytes = progress.handled_bytes if progress.skipped else 0
        if self._live is not None:
            self._live.update(self._table(progress, now_s))
        elif now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            left = self._left(progress, now_s - self._began_s)
            sys.stderr.write(f"{self._title}: {self._sentence(progress, now_s)}{', ' if left else ''}{left}\n")

    def finish(self, progress: Progress) -> None:
        """Say how it ended, and name the files that failed."""
        sys.stderr.write(f"{self._title}: {self._sentence(progress, time.monotonic())}\n")
        if progress.remark:
            sys.stderr.write(f"  {progress.remark}\n")
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
            self._left(progress, took_s),
        )
        return table

    def _left(self, progress: Progress, took_s: float) -> str:
        """How long it takes yet, by the bytes that are done; nothing where that cannot be said."""
        done_bytes = progress.handled_bytes - (self._resumed_bytes or 0)
        left_bytes = self._total_bytes - progress.handled_bytes
        if done_bytes <= 0 or left_bytes <= 0:
            return ""
        left_s = round(took_s * left_bytes / done_bytes)
        share = progress.handled_bytes / self._total_bytes
        return f"{share:.0%}, {left_s // 3600}:{left_s // 60 % 60:02}:{left_s % 60:02} left"

    def _sentence(self, progress: Progress, now_s: float) -> str:
        took_s = max(now_s - self._began_s, 0.001)
        more = f", {progress.skipped} done by an earlier run" if progress.skipped else ""
        more += f", {progress.removed} taken out" if progress.removed else ""
        return (
            f"{progress.completed} files read into {progress.chunks} passages, {progress.unchanged} unchanged, "
            f"{progress.failed} failed{more}, in {took_s:.1f} s ({progress.chunks / took_s:.0f} passages/s)"
        )
