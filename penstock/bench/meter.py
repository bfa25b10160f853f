"""CPU and memory of the server: from /proc for a process on this machine with its children, else from its /metrics."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np

from penstock.bench.exposition import Scrape

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Reading(msgspec.Struct, frozen=True):
    """One look. `at_s` is on the clock that the generator uses too."""

    at_s: float
    cpu_s: float
    rss_bytes: int


class Usage(msgspec.Struct, frozen=True):
    """Of the counted part of a run."""

    cpu_cores: float
    """Cores kept busy, on average."""
    rss_mb_mean: float
    rss_mb_max: float
    source: str


class ProcMeter:
    """A process on this machine, and what it started."""

    source = "proc"

    def __init__(self, pid: int) -> None:
        self._pid = pid

    async def read(self) -> Reading | None:
        """Raises OSError when the process is gone."""
        at_s = perf_counter()
        cpu_s, rss_bytes = _of_one(self._pid, with_waited=True)
        for child in _children(self._pid):
            try:
                more_s, more_bytes = _of_one(child, with_waited=False)
            except OSError:  # it ended between the two looks
                continue
            cpu_s, rss_bytes = cpu_s + more_s, rss_bytes + more_bytes
        return Reading(at_s, cpu_s, rss_bytes)


class MetricsMeter:
    """A server elsewhere: what its own metrics say."""

    source = "metrics"

    def __init__(self, scrape: Callable[[], Awaitable[Scrape | None]]) -> None:
        self._scrape = scrape

    async def read(self) -> Reading | None:
        """None when the server did not tell in time."""
        scrape = await self._scrape()
        if scrape is None:
            return None
        return Reading(
            perf_counter(),
            scrape.value("process_cpu_seconds_total") or 0.0,
            int(scrape.value("process_resident_memory_bytes") or 0),
        )


def usage(readings: list[Reading], *, from_s: float, until_s: float, source: str) -> Usage | None:
    """Between two moments; CPU time is taken to grow evenly between two looks."""
    if len(readings) < 2:
        return None
    at_s = np.array([reading.at_s for reading in readings])
    spent_s = np.interp([from_s, until_s], at_s, [reading.cpu_s for reading in readings])
    within = [reading.rss_bytes for reading in readings if from_s <= reading.at_s <= until_s]
    sizes = np.array(within or [readings[-1].rss_bytes]) / 1e6
    return Usage(
        cpu_cores=round(float(spent_s[1] - spent_s[0]) / (until_s - from_s), 3),
        rss_mb_mean=round(float(sizes.mean()), 1),
        rss_mb_max=round(float(sizes.max()), 1),
        source=source,
    )


def _of_one(pid: int, *, with_waited: bool) -> tuple[float, int]:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    fields = stat.rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11 : 15 if with_waited else 13])
    return ticks / TICKS, int(fields[21]) * PAGE_BYTES


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            names = (task / "children").read_text(encoding="ascii").split()
        except OSError:  # the thread ended, or the kernel does not tell
            continue
        for name in names:
            yield int(name)
            yield from _children(int(name)) if Path(f"/proc/{name}/task").exists() else ()
