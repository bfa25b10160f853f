"""When requests are due. Everything is drawn from the seed; nothing looks at the server.

Each process is a unit Poisson process seen through a clock that runs at the load's rate: where the rate is a function
r(t), the arrivals are where its integral passes the points of the unit process.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.bench.load import Stream
from penstock.bench.trace import Trace, read_trace

Seconds = NDArray[np.float64]


class Due(msgspec.Struct, frozen=True):
    """Arrivals in order. `rank`, from 0 to 1, orders questions by weight; equal `identity` is the same question."""

    at_s: Seconds
    rank: NDArray[np.float64]
    identity: NDArray[np.int64]


def arrivals(stream: Stream, total_s: float, random: np.random.Generator) -> Due:
    """The stream's arrivals from 0 to `total_s`. A closed stream has none: its callers decide."""
    stop_s = min(stream.stop_s or total_s, total_s)
    span_s = max(0.0, stop_s - stream.start_s)
    if stream.arrivals == "trace":
        due = _replayed(_cached_trace(stream.trace), stream, span_s, random)
        return msgspec.structs.replace(due, at_s=due.at_s + stream.start_s)
    if stream.arrivals == "closed":
        at_s = np.zeros(0)
    elif stream.arrivals == "constant":
        at_s = np.arange(int(span_s * stream.rate)) / stream.rate
    else:
        at_s = _poisson(*_clock(stream, span_s), random)
    identity = np.arange(len(at_s), dtype=np.int64)
    return Due(at_s=at_s + stream.start_s, rank=random.random(len(at_s)), identity=identity)


def _clock(stream: Stream, span_s: float) -> tuple[Seconds, Seconds]:
    """Points of the rate's integral, between which it is straight: times, and requests expected until then."""
    if stream.arrivals == "bursts":
        period_s = stream.burst_on_s + stream.burst_off_s
        starts_s = np.arange(int(np.ceil(span_s / period_s))) * period_s
        times_s = np.stack([starts_s, starts_s + stream.burst_on_s], axis=1).ravel()
        times_s = np.append(times_s, len(starts_s) * period_s)
        each = stream.rate * period_s
        expected = np.repeat(np.arange(len(starts_s) + 1) * each, 2)[1:]
        return _until(times_s, expected, span_s)
    if stream.arrivals == "ramp":
        times_s = np.linspace(0.0, span_s, 1001)
        slope = (stream.rate - stream.ramp_from) / max(span_s, 1e-9)
        return times_s, stream.ramp_from * times_s + slope * times_s**2 / 2
    return np.array([0.0, span_s]), np.array([0.0, span_s * stream.rate])


def _until(times_s: Seconds, expected: Seconds, span_s: float) -> tuple[Seconds, Seconds]:
    last = float(np.interp(span_s, times_s, expected))
    before = times_s < span_s
    return np.append(times_s[before], span_s), np.append(expected[before], last)


def _poisson(times_s: Seconds, expected: Seconds, random: np.random.Generator) -> Seconds:
    total = float(expected[-1])
    points = np.sort(random.random(random.poisson(total)) * total)
    return np.interp(points, expected, times_s)


def _replayed(trace: Trace, stream: Stream, span_s: float, random: np.random.Generator) -> Due:
    """The trace from its beginning, and again from there when it ends before the run does."""
    recorded_s = trace.arrival_s + random.random(len(trace.arrival_s)) * trace.ticks_s
    order = np.argsort(recorded_s, kind="stable")
    speed = stream.speed or stream.rate / trace.rate
    lap_s = trace.lap_s / speed
    laps = int(span_s / lap_s) + 1
    at_s = np.concatenate([recorded_s[order] / speed + lap * lap_s for lap in range(laps)])
    kept = at_s < span_s
    rank = np.argsort(np.argsort(trace.size, kind="stable")) / len(trace.size)
    return Due(
        at_s=at_s[kept], rank=np.tile(rank[order], laps)[kept], identity=np.tile(trace.identity[order], laps)[kept]
    )


@lru_cache(maxsize=4)
def _cached_trace(file: str) -> Trace:
    return read_trace(Path(file))
