"""The two pictures of a sweep, as SVG: latency against load, and goodput against offered load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock.bench.figures import Quantiles
from penstock.bench.report import Report
from penstock.bench.trial import Trial
from penstock.core.errors import Setup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours: told apart by everyone, also in grey.
COLOURS = {"": "#0072B2", "A": "#0072B2", "B": "#D55E00"}
POINTS = (("p50", "-", "o"), ("p95", "--", "s"), ("p99", ":", "^"))
STEPS = tuple(step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5))
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "svg.hashsalt": "penstock",
    "svg.fonttype": "path",
    "figure.constrained_layout.use": True,
}


def draw(report: Report, folder: Path) -> list[Path]:
    """Write the pictures and say which. Raises Setup when the plotting library is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - only whoever draws needs it
        from matplotlib.figure import Figure  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise Setup("Pictures need matplotlib: pip install 'penstock[bench]'. Tables and JSON do not.") from error

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    painters: dict[str, Callable[[Report, Axes], None]] = {"latency.svg": _latency, "goodput.svg": _goodput}
    for name, paint in painters.items():
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(7.2, 4.4))
            paint(report, figure.add_subplot())
            figure.supxlabel(_about(report), fontsize=8, color="#777777", x=0.01, ha="left")
            figure.savefig(folder / name, metadata={"Date": None})
        written.append(folder / name)
    return written


def _about(report: Report) -> str:
    """What was measured, and where: a picture travels without its table."""
    machine = report.machine
    streams = ", ".join(
        f"{stream['arrivals']} {'+'.join(kind for kind, share in stream['kinds'].items() if share)}"
        for stream in report.load
    )
    return (
        f"{streams}; {report.duration_s:g} s each; {machine.cores} cores, {machine.cpu or machine.system}; "
        f"commit {report.commit or report.version}"
    )


def _latency(report: Report, axes: Axes) -> None:
    highest = 0.0
    for label in report.labels:
        swept = _swept(report, label)
        rates = [rate for rate, _ in swept]
        for point, line, marker in POINTS:
            values = [[_point(trial, point) for trial in trials] for _, trials in swept]
            name = f"{label} {point}".strip()
            _line(axes, rates, values, colour=COLOURS[label], line=line, marker=marker, name=name)
            highest = max([highest, *(value for each in values for value in each if np.isfinite(value))])
    limit_ms = report.slo.latency_ms
    if highest > limit_ms / 4:
        axes.axhline(limit_ms, color="#666666", linewidth=1)
        place, fraction = (0.005, limit_ms), ("axes fraction", "data")
        axes.annotate(f"SLO {limit_ms:g} ms", place, xycoords=fraction, va="bottom", fontsize=9, color="#666666")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    shown = [step for step in STEPS if low / 2.5 < step < high * 2.5]
    axes.set_yticks(shown)
    axes.minorticks_off()
    axes.set_ylim(shown[0], shown[-1])
    axes.yaxis.set_major_formatter(_plain)
    axes.set_xlim(left=0)
    axes.set_xlabel("offered load, requests a second")
    axes.set_ylabel("latency of answered requests, ms")
    axes.set_title("Latency against load", loc="left", fontweight="bold", pad=24)
    axes.legend(frameon=False, ncols=6, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, columnspacing=1.4)


def _goodput(report: Report, axes: Axes) -> None:
    most = max((trial.figures.served.offered_per_s for trial in report.trials), default=1.0)
    axes.plot([0, most], [0, most], color="#999999", linewidth=1, label="all that was offered")
    for label in report.labels:
        swept = _swept(report, label)
        rates = [rate for rate, _ in swept]
        good = [[trial.figures.served.goodput_per_s for trial in trials] for _, trials in swept]
        answered = [[trial.figures.served.answered_per_s for trial in trials] for _, trials in swept]
        colour = COLOURS[label]
        within = f"{label} answered within {report.slo.latency_ms:g} ms".strip()
        _line(axes, rates, good, colour=colour, line="-", marker="o", name=within)
        _line(axes, rates, answered, colour=colour, line=":", marker="^", name=f"{label} answered at all".strip())
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("offered load, requests a second")
    axes.set_ylabel("requests a second")
    axes.set_title("Goodput against offered load", loc="left", fontweight="bold")
    axes.legend(frameon=False)


def _line(
    axes: Axes, rates: list[float], values: Sequence[Sequence[float]], *, colour: str, line: str, marker: str, name: str
) -> None:
    """Medians of the repeats, and their range as a band."""
    kept = [(rate, each) for rate, each in zip(rates, values, strict=True) if np.isfinite(each).all()]
    if not kept:
        return
    at = [rate for rate, _ in kept]
    axes.plot(at, [float(np.median(each)) for _, each in kept], line, color=colour, marker=marker, ms=4, label=name)
    axes.fill_between(at, [min(each) for _, each in kept], [max(each) for _, each in kept], color=colour, alpha=0.12)


def _swept(report: Report, label: str) -> list[tuple[float, list[Trial]]]:
    """By what was really offered, on average of the repeats."""
    return [
        (float(np.mean([trial.figures.served.offered_per_s for trial in trials])), trials)
        for trials in report.at_rates(label).values()
    ]


def _point(trial: Trial, point: str) -> float:
    latency: Quantiles | None = trial.figures.served.latency_ms
    return float(getattr(latency, point)) if latency is not None else float("nan")


def _plain(value: float, _place: float) -> str:
    return f"{value:,.10g}"
