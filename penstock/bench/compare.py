"""Two configurations side by side: A, B, A, B, … A, so that a machine that drifts is seen and not believed.

Each B is held against the mean of the A before it and the A after it; the spread of A against itself is the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from penstock.bench.figures import Figures, Quantiles
from penstock.bench.trial import Trial


class Middle(msgspec.Struct, frozen=True):
    """Of repeats."""

    median: float
    low: float
    high: float


class Ratio(msgspec.Struct, frozen=True):
    """B against A for one figure at one rate. A `noise` as wide as `ratio` says that nothing was shown."""

    rate: float
    figure: str
    a: Middle
    b: Middle
    ratio: Middle
    noise: Middle
    """Each A against the mean of all A."""

    @property
    def shown(self) -> bool:
        """Whether B lies outside of what A differs from itself."""
        return self.ratio.low > self.noise.high or self.ratio.high < self.noise.low


def order(repeats: int) -> str:
    """Which configuration runs when: an A on either side of each B."""
    return "A" + "BA" * repeats


def middle(values: Sequence[float]) -> Middle:
    return Middle(*(round(float(value), 4) for value in (np.median(values), min(values), max(values))))


def ratios(trials: Sequence[Trial]) -> Iterator[Ratio]:
    """For each rate and figure that all trials have. Trials are in the order in which they ran."""
    for rate in dict.fromkeys(trial.rate for trial in trials):
        at_rate = [trial for trial in trials if trial.rate == rate]
        for name, read in readers(at_rate).items():
            values = [read(trial) for trial in at_rate]
            if all(value is not None and math.isfinite(value) and value > 0 for value in values):
                yield compared(rate, name, [trial.label for trial in at_rate], [float(value or 0) for value in values])


def compared(rate: float, figure: str, labels: Sequence[str], values: Sequence[float]) -> Ratio:
    """`labels` are A and B by turns, A at either end."""
    assert "".join(labels) == order(len(labels) // 2)
    a, b = list(values[0::2]), list(values[1::2])
    mean_a = sum(a) / len(a)
    return Ratio(
        rate=rate,
        figure=figure,
        a=middle(a),
        b=middle(b),
        ratio=middle([each / ((before + after) / 2) for before, each, after in zip(a, b, a[1:], strict=False)]),
        noise=middle([each / mean_a for each in a]),
    )


Reader = Callable[[Trial], float | None]


def readers(trials: Sequence[Trial]) -> Mapping[str, Reader]:
    """The figures that two configurations are compared by."""
    named: dict[str, Reader] = {
        "goodput /s": lambda trial: trial.figures.served.goodput_per_s,
        "answered /s": lambda trial: trial.figures.served.answered_per_s,
        "CPU ms per answer": lambda trial: trial.cpu_ms_per_answer,
        "memory MB": lambda trial: trial.usage.rss_mb_max if trial.usage else None,
    }
    for point in ("p50", "p95", "p99"):
        named[f"latency {point} ms"] = _latency(point)
        named[f"first token {point} ms"] = _first_token(point)
    for stage in dict.fromkeys(stage for trial in trials for stage in trial.figures.stages_ms):
        for point in ("p50", "p99"):
            named[f"{stage} {point} ms"] = _stage(stage, point)
    return named


def _latency(point: str) -> Reader:
    return lambda trial: _point(trial.figures.served.latency_ms, point)


def _first_token(point: str) -> Reader:
    return lambda trial: _point(trial.figures.served.first_token_ms, point)


def _stage(stage: str, point: str) -> Reader:
    return lambda trial: _point(_of_stage(trial.figures, stage), point)


def _of_stage(figures: Figures, stage: str) -> Quantiles | None:
    return figures.stages_ms.get(stage)


def _point(quantiles: Quantiles | None, point: str) -> float | None:
    return getattr(quantiles, point) if quantiles is not None else None
