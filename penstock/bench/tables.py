"""A report as tables for the terminal: medians of the repeats, and their range where it matters most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from penstock.bench.compare import Middle, middle
from penstock.bench.figures import Quantiles, Refused, Served
from penstock.bench.report import Report
from penstock.bench.trial import Trial

T = TypeVar("T")
WORDS = frozenset({"part", "stage", "code", "figure", ""})


def show(report: Report, console: Console) -> None:
    """Everything there is to say, the most important last, where the eye is."""
    for table in tables(report):
        console.print(table)
    for warning in report.warnings():
        console.print(f"[yellow]![/] {warning}", highlight=False)
    for sentence in conclusions(report):
        console.print(sentence, highlight=False)


def tables(report: Report) -> Iterator[Table]:
    """Those that have rows."""
    makers: tuple[Callable[[Report], Table], ...] = (_parts, _stages, _refusals, _machine, _runs, _ratios)
    for make in makers:
        table = make(report)
        if table.row_count:
            yield table


def conclusions(report: Report) -> Iterator[str]:
    """In a sentence each."""
    slo = report.slo
    within = f"{slo.share:.0%} of requests within {slo.latency_ms:g} ms"
    if slo.first_token_ms is not None:
        within += f" (streams: first token within {slo.first_token_ms:g} ms)"
    for label in dict.fromkeys(capacity.label for capacity in report.capacities):
        those = [capacity for capacity in report.capacities if capacity.label == label]
        carried = text(middle([capacity.carried_per_s for capacity in those]))
        refused = text(middle([capacity.refused_per_s for capacity in those]))
        yield f"Capacity{_of(label)}: [bold]{carried}/s[/] with {within}; {refused}/s was too much."
    machine = report.machine
    yield (
        f"[dim]seed {report.seed}, commit {report.commit or report.version}, {machine.cores} × {machine.cpu}, "
        f"load average before {machine.load_average:g}, questions: {report.questions}[/]"
    )


def line(trial: Trial) -> str:
    """One run while the others are still to come."""
    served = trial.figures.served
    asked = f"{_number(trial.rate)}/s" if trial.rate else "closed loop"
    return (
        f"[dim]{trial.label or 'run'}[/] {asked}: {_number(served.goodput_per_s)}/s good of "
        f"{_number(served.offered_per_s)}/s, p50 {_point([served.latency_ms], 'p50') or '–'} ms, "
        f"p99 {_point([served.latency_ms], 'p99') or '–'} ms, {served.rejected} refused, {served.failed} failed"
    )


def text(value: Middle) -> str:
    """A median, and the range where there were repeats."""
    if value.low == value.high:
        return _number(value.median)
    return f"{_number(value.median)} ({_number(value.low)}–{_number(value.high)})"


def _runs(report: Report) -> Table:
    streamed = any(trial.figures.served.first_token_ms for trial in report.trials)
    of_streams = ["token p50", "token p99"] if streamed else []
    table = _table(
        f"By load. Good: within {report.slo.latency_ms:g} ms; times in ms",
        *["", "asked/s", "offered/s", "answered/s", "good/s", "good %", "p50", "p95", "p99"],
        *[*of_streams, "refused", "failed"],
    )
    for label, asked, trials in _rows(report):
        served = [trial.figures.served for trial in trials]
        latency, first_token = [each.latency_ms for each in served], [each.first_token_ms for each in served]
        cells = [_median(served, _offered), _median(served, _answered), _range(served, _goodput)]
        cells += [_median(served, _good_percent), _point(latency, "p50"), _point(latency, "p95")]
        cells += [_points(latency, "p99")]
        cells += [_point(first_token, "p50"), _points(first_token, "p99")] if streamed else []
        cells += [_median(served, lambda each: each.rejected), _median(served, lambda each: each.failed)]
        table.add_row(label, asked, *cells)
    return table


def _machine(report: Report) -> Table:
    table = _table(
        "The server, and the generator beside it",
        *["", "asked/s", "CPU cores", "CPU ms per answer", "memory MB", "alive p99 ms", "loop lag p99 ms"],
        *["generator lag p99 ms", "CPU share"],
    )
    for label, asked, trials in _rows(report):
        used = [trial.usage for trial in trials if trial.usage]
        lags = [trial.loop_lag_ms.p99 for trial in trials if trial.loop_lag_ms]
        table.add_row(
            label,
            asked,
            _median(used, lambda each: each.cpu_cores),
            _median([trial.cpu_ms_per_answer for trial in trials if trial.cpu_ms_per_answer], lambda each: each),
            _median(used, lambda each: each.rss_mb_max),
            _point([trial.figures.alive_ms for trial in trials], "p99"),
            _median(lags, lambda each: each),
            _point([trial.figures.generator.lag_ms for trial in trials], "p99"),
            _median([trial.figures.generator.cpu_share for trial in trials], lambda each: each),
        )
    return table


def _parts(report: Report) -> Table:
    table = _table(
        "By stream and kind; times in ms",
        *["", "asked/s", "part", "offered/s", "good %", "p50", "p99", "token p50", "token p99", "refused", "failed"],
    )
    for label, asked, trials in _rows(report):
        for name in dict.fromkeys(part.name for trial in trials for part in trial.figures.parts):
            parts = [part for trial in trials for part in trial.figures.parts if part.name == name]
            latency = [_point([part.latency_ms for part in parts], point) for point in ("p50", "p99")]
            first_token = [_point([part.first_token_ms for part in parts], point) for point in ("p50", "p99")]
            counts = [_median(parts, lambda each: each.rejected), _median(parts, lambda each: each.failed)]
            table.add_row(
                label,
                asked,
                name,
                _median(parts, _offered),
                _median(parts, _good_percent),
                *latency,
                *first_token,
                *counts,
            )
    return table


def _stages(report: Report) -> Table:
    table = _table("Stages, measured by the server; times in ms", "", "asked/s", "stage", "p50", "p95", "p99", "batch")
    for label, asked, trials in _rows(report):
        for stage in dict.fromkeys(stage for trial in trials for stage in trial.figures.stages_ms):
            measured = [trial.figures.stages_ms.get(stage) for trial in trials]
            batches = [trial.batch_items[stage] for trial in trials if stage in trial.batch_items]
            cells = [_point(measured, "p50"), _point(measured, "p95"), _points(measured, "p99")]
            table.add_row(label, asked, stage, *cells, _median(batches, lambda each: each))
    return table


def _refusals(report: Report) -> Table:
    table = _table(
        "Refusals and failures; times in ms",
        *["", "asked/s", "status", "code", "count", "p50", "p99", "Retry-After"],
    )
    for trial in report.trials:
        asked = _number(trial.rate) if trial.rate else "closed"
        for refused in trial.figures.refused:
            latency = [_point([refused.latency_ms], point) for point in ("p50", "p99")]
            table.add_row(
                trial.label, asked, str(refused.status), refused.code, str(refused.count), *latency, _told(refused)
            )
        for failed in trial.figures.failures:
            table.add_row(trial.label, asked, str(failed.status or "–"), failed.code, str(failed.count), "", "", "")
    return table


def _ratios(report: Report) -> Table:
    table = _table("B against A: medians, ranges, and how far A differs from itself", *["asked/s", "figure", "A", "B"])
    for name in ("B / A", "A / A", ""):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for ratio in report.ratios:
        table.add_row(
            _number(ratio.rate) if ratio.rate else "closed",
            ratio.figure,
            text(ratio.a),
            text(ratio.b),
            text(ratio.ratio),
            f"{_number(ratio.noise.low)}–{_number(ratio.noise.high)}",
            "" if ratio.shown else "[dim]within noise[/]",
        )
    return table


def _table(title: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in names:
        table.add_column(name, justify="left" if name in WORDS else "right")
    return table


def _rows(report: Report) -> Iterator[tuple[str, str, list[Trial]]]:
    for label in report.labels:
        for rate, trials in report.at_rates(label).items():
            yield label, _number(rate) if rate else "closed", trials


def _offered(served: Served) -> float:
    return served.offered_per_s


def _answered(served: Served) -> float:
    return served.answered_per_s


def _goodput(served: Served) -> float:
    return served.goodput_per_s


def _good_percent(served: Served) -> float:
    return served.good_share * 100


def _told(refused: Refused) -> str:
    if refused.retry_after_integer == refused.count:
        return "integer"
    return f"{refused.retry_after_missing} without, {refused.retry_after_wrong} not an integer"


def _median(values: Sequence[T], read: Callable[[T], float]) -> str:
    return _number(middle([read(value) for value in values]).median) if values else ""


def _range(values: Sequence[T], read: Callable[[T], float]) -> str:
    return text(middle([read(value) for value in values])) if values else ""


def _point(values: Sequence[Quantiles | None], point: str) -> str:
    there = [value for value in values if value is not None]
    return _median(there, lambda value: float(getattr(value, point)))


def _points(values: Sequence[Quantiles | None], point: str) -> str:
    there = [value for value in values if value is not None]
    return _range(there, lambda value: float(getattr(value, point)))


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _of(label: str) -> str:
    return f" of {label}" if label else ""
