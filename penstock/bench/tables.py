"""A report as tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.table import Table

from penstock.bench.compare import Middle, middle
from penstock.bench.figures import Quantiles, Refused, Served
from penstock.bench.report import Report
from penstock.bench.trial import Trial

T = TypeVar("T")


def show(report: Report, console: Console) -> None:
    """Everything there is to say, the most important last, where the eye is."""
    for table in tables(report):
        console.print(table)
        console.print()
    for warning in report.warnings():
        console.print(f"[yellow]![/] {warning}", highlight=False)
    for line in conclusions(report):
        console.print(line, highlight=False)


def tables(report: Report) -> Iterator[RenderableType]:
    """Those that have rows."""
    makers: tuple[Callable[[Report], Table], ...] = (_parts, _stages, _refusals, _runs, _ratios)
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
    table = Table(title=f"By load (good: within {report.slo.latency_ms:g} ms)", title_justify="left")
    names = ["", "asked /s", "offered /s", "answered /s", "good /s", "good %", "p50 ms", "p95 ms", "p99 ms"]
    names += ["first token p50 ms", "p99 ms"] if streamed else []
    names += ["refused", "failed", "CPU cores", "memory MB", "alive p99 ms", "lag p99 ms"]
    for name in names:
        table.add_column(name, justify="right")
    for label in report.labels:
        for rate, trials in report.at_rates(label).items():
            served = [trial.figures.served for trial in trials]
            cells = [label, _number(rate) if rate else "closed"]
            cells += [_each(served, read) for read in (_offered, _answered, _goodput, _good_percent)]
            cells += [_point([each.latency_ms for each in served], point) for point in ("p50", "p95", "p99")]
            if streamed:
                cells += [_point([each.first_token_ms for each in served], point) for point in ("p50", "p99")]
            cells += [_each(served, lambda each: each.rejected), _each(served, lambda each: each.failed)]
            cells += _machine(trials)
            table.add_row(*cells)
    return table


def _machine(trials: Sequence[Trial]) -> list[str]:
    used = [trial.usage for trial in trials if trial.usage]
    return [
        _each(used, lambda each: each.cpu_cores),
        _each(used, lambda each: each.rss_mb_max),
        _point([trial.figures.alive_ms for trial in trials], "p99"),
        _point([trial.figures.generator.lag_ms for trial in trials], "p99"),
    ]


def _parts(report: Report) -> Table:
    table = Table(title="By stream and kind", title_justify="left")
    for name in ("", "asked /s", "part", "offered /s", "good %", "p50 ms", "p99 ms", "first token p99 ms", "refused"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for label in report.labels:
        for rate, trials in report.at_rates(label).items():
            for name in dict.fromkeys(part.name for trial in trials for part in trial.figures.parts):
                parts = [part for trial in trials for part in trial.figures.parts if part.name == name]
                table.add_row(
                    label,
                    _number(rate) if rate else "closed",
                    name,
                    _each(parts, _offered),
                    _each(parts, _good_percent),
                    _point([part.latency_ms for part in parts], "p50"),
                    _point([part.latency_ms for part in parts], "p99"),
                    _point([part.first_token_ms for part in parts], "p99"),
                    _each(parts, lambda each: each.rejected),
                )
    return table


def _stages(report: Report) -> Table:
    table = Table(title="Stages, measured by the server", title_justify="left")
    for name in ("", "asked /s", "stage", "p50 ms", "p95 ms", "p99 ms", "batch"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for label in report.labels:
        for rate, trials in report.at_rates(label).items():
            for stage in dict.fromkeys(stage for trial in trials for stage in trial.figures.stages_ms):
                measured = [trial.figures.stages_ms.get(stage) for trial in trials]
                batches = [trial.batch_items[stage] for trial in trials if stage in trial.batch_items]
                cells = [_point(measured, point) for point in ("p50", "p95", "p99")]
                table.add_row(
                    label,
                    _number(rate) if rate else "closed",
                    stage,
                    *cells,
                    text(middle(batches)) if batches else "",
                )
    return table


def _refusals(report: Report) -> Table:
    table = Table(title="Refusals and failures", title_justify="left")
    for name in ("", "asked /s", "status", "code", "count", "p50 ms", "p99 ms", "Retry-After"):
        table.add_column(name, justify="left" if name == "code" else "right")
    for trial in report.trials:
        rate = _number(trial.rate) if trial.rate else "closed"
        for refused in trial.figures.refused:
            latency = [_point([refused.latency_ms], point) for point in ("p50", "p99")]
            table.add_row(
                trial.label, rate, str(refused.status), refused.code, str(refused.count), *latency, _told(refused)
            )
        for failed in trial.figures.failures:
            table.add_row(trial.label, rate, str(failed.status or "–"), failed.code, str(failed.count), "", "", "")
    return table


def _ratios(report: Report) -> Table:
    table = Table(title="B against A", title_justify="left")
    for name in ("asked /s", "figure", "A", "B", "B / A", "A / A", ""):
        table.add_column(name, justify="left" if name in {"figure", ""} else "right")
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


def _each(values: Sequence[T], read: Callable[[T], float]) -> str:
    return text(middle([read(value) for value in values])) if values else ""


def _point(values: Sequence[Quantiles | None], point: str) -> str:
    there = [getattr(value, point) for value in values if value is not None]
    return text(middle(there)) if there else ""


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _of(label: str) -> str:
    return f" of {label}" if label else ""
