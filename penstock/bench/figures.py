"""From samples to figures. Latency counts from the moment a request was due, so a stall is charged in full."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.bench.load import KINDS, Load
from penstock.bench.samples import Samples

LATE_MS = 5.0
"""A generator whose p99 lag is beyond this, and beyond a tenth of the median latency, is not to be trusted."""
BUSY_SHARE = 0.8


class Quantiles(msgspec.Struct, frozen=True):
    """Of values that occurred (no interpolation upwards of what was seen)."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class Slo(msgspec.Struct, frozen=True):
    """What counts as good. With `first_token_ms`, streams are judged by that alone."""

    latency_ms: float = 1000.0
    first_token_ms: float | None = None
    share: float = 0.99
    """Of all requests offered, for a load to count as carried."""


class Refused(msgspec.Struct, frozen=True):
    """Requests turned away, by status and code."""

    status: int
    code: str
    count: int
    latency_ms: Quantiles | None
    retry_after_integer: int
    retry_after_missing: int
    retry_after_wrong: int


class Failed(msgspec.Struct, frozen=True):
    """Requests that ended neither well nor with a refusal. Status 0: there was no answer."""

    status: int
    code: str
    count: int


class Served(msgspec.Struct, frozen=True):
    """How a part of the load, or all of it, was served."""

    name: str
    offered: int
    offered_per_s: float
    answered_per_s: float
    """Answers that came within the counted time, whenever they were asked for."""
    goodput_per_s: float
    good_share: float
    """Of what was offered."""
    ok: int
    rejected: int
    failed: int
    degraded: int
    latency_ms: Quantiles | None
    """Of what was answered well."""
    first_token_ms: Quantiles | None


class Lateness(msgspec.Struct, frozen=True):
    """The generator's own account."""

    lag_ms: Quantiles | None
    """From the moment a request was due to when the generator got round to it."""
    connecting_ms: Quantiles | None
    cpu_share: float
    connections: int
    resent: int
    warnings: tuple[str, ...]


class Figures(msgspec.Struct, frozen=True):
    """One run."""

    served: Served
    parts: tuple[Served, ...]
    """By stream and kind, where there is more than one."""
    stages_ms: dict[str, Quantiles]
    """Measured by the server, request by request."""
    refused: tuple[Refused, ...]
    failures: tuple[Failed, ...]
    generator: Lateness
    alive_ms: Quantiles | None
    """How long a request took that asks for nothing: the server's event loop, seen from outside."""


def quantiles(values: NDArray[np.float64]) -> Quantiles | None:
    """None where there are no values; NaN are none."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    p50, p95, p99 = np.percentile(values, (50, 95, 99), method="higher")
    rounded = [round(float(value), 3) for value in (values.mean(), p50, p95, p99, values.max())]
    return Quantiles(len(values), *rounded)


def figures(samples: Samples, load: Load, slo: Slo) -> Figures:
    """Account for everything that was due after the warm-up."""
    due_s = samples.moments["due_s"]
    counted = samples.picked((due_s >= load.warmup_s) & (due_s < load.total_s))
    parts = list(_parts(counted, samples, load, slo))
    served = _served("all", counted, samples, load, slo)
    return Figures(
        served=served,
        parts=tuple(parts) if len(parts) > 1 else (),
        stages_ms={
            name: found
            for name, column in counted.stages_ms.items()
            if (found := quantiles(column[counted.ended("ok")])) is not None
        },
        refused=tuple(_refused(counted)),
        failures=tuple(_failures(counted)),
        generator=_lateness(counted, served, closed=load.closed),
        alive_ms=quantiles(samples.probe_ms),
    )


def latency_ms(samples: Samples) -> NDArray[np.float64]:
    return (samples.moments["ended_s"] - samples.moments["began_s"]) * 1000


def first_token_ms(samples: Samples) -> NDArray[np.float64]:
    return (samples.moments["first_token_s"] - samples.moments["began_s"]) * 1000


def good(samples: Samples, slo: Slo) -> NDArray[np.bool_]:
    """Which requests were answered, and in time."""
    in_time = latency_ms(samples) <= slo.latency_ms
    if slo.first_token_ms is not None:
        streamed = samples.kind == KINDS.index("stream")
        in_time = np.where(streamed, first_token_ms(samples) <= slo.first_token_ms, in_time)
    return samples.ended("ok") & in_time


def _parts(counted: Samples, everything: Samples, load: Load, slo: Slo) -> Iterator[Served]:
    for place, stream in enumerate(load.streams):
        for kind in KINDS:
            rows = (counted.stream == place) & (counted.kind == KINDS.index(kind))
            if rows.any():
                those = (everything.stream == place) & (everything.kind == KINDS.index(kind))
                yield _served(f"{stream.name} {kind}", counted.picked(rows), everything.picked(those), load, slo)


def _served(name: str, counted: Samples, everything: Samples, load: Load, slo: Slo) -> Served:
    ok = counted.ended("ok")
    ended_s = everything.moments["ended_s"]
    within = everything.ended("ok") & (ended_s >= load.warmup_s) & (ended_s < load.total_s)
    good_count = int(good(counted, slo).sum())
    return Served(
        name=name,
        offered=len(counted),
        offered_per_s=_rounded(len(counted) / load.duration_s),
        answered_per_s=_rounded(int(within.sum()) / load.duration_s),
        goodput_per_s=_rounded(good_count / load.duration_s),
        good_share=round(good_count / max(1, len(counted)), 5),
        ok=int(ok.sum()),
        rejected=int(counted.ended("reject").sum()),
        failed=int(counted.ended("error").sum()),
        degraded=int(counted.degraded.sum()),
        latency_ms=quantiles(latency_ms(counted)[ok]),
        first_token_ms=quantiles(first_token_ms(counted)[ok]),
    )


def _refused(samples: Samples) -> Iterator[Refused]:
    for place, outcome in enumerate(samples.outcomes):
        rows = samples.outcome == place
        if outcome.end == "reject" and rows.any():
            marks = samples.retry_after[rows]
            yield Refused(
                status=outcome.status,
                code=outcome.code,
                count=int(rows.sum()),
                latency_ms=quantiles(latency_ms(samples)[rows]),
                retry_after_integer=int((marks == 1).sum()),
                retry_after_missing=int((marks == -1).sum()),
                retry_after_wrong=int((marks == 0).sum()),
            )


def _failures(samples: Samples) -> Iterator[Failed]:
    for place, outcome in enumerate(samples.outcomes):
        count = int((samples.outcome == place).sum())
        if outcome.end == "error" and count:
            yield Failed(status=outcome.status, code=outcome.code, count=count)


def _lateness(samples: Samples, served: Served, *, closed: bool) -> Lateness:
    moments = samples.moments
    lag_ms = quantiles(np.maximum(0.0, moments["dispatched_s"] - moments["due_s"]) * 1000)
    warnings: list[str] = []
    if lag_ms and served.latency_ms and lag_ms.p99 > max(LATE_MS, served.latency_ms.p50 / 10):
        warnings.append("The generator was late at times: latencies contain its lag. Give it a core of its own: --pin.")
    if samples.generator_cpu_share > BUSY_SHARE:
        warnings.append("The generator used up its core: what it could not send in time was not offered in time.")
    if closed:
        warnings.append("Closed loop: callers wait for answers, so overload is hidden. Use it for throughput only.")
    return Lateness(
        lag_ms=lag_ms,
        connecting_ms=quantiles((moments["sent_s"] - moments["dispatched_s"]) * 1000),
        cpu_share=round(samples.generator_cpu_share, 3),
        connections=samples.most_connections,
        resent=samples.resent,
        warnings=tuple(warnings),
    )


def _rounded(rate: float) -> float:
    return round(rate, 2)
