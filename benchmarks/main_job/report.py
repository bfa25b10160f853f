"""The results as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.main_job.bars import figure

SPEED: tuple[tuple[str, str, str, str], ...] = (
    # (what, our figure, the tutorial's, format)
    ("encode, passages/s", "encode.penstock.passages.median", "encode.sentence_transformers.passages.median", ".1f"),
    ("ingest, documents/s, text to searchable", "ingest.documents_per_s", "tutorial.ingest.documents_per_s", ".1f"),
    ("ingest, the whole command, s", "ingest.command_s", "tutorial.ingest.command_s", ".1f"),
    ("ingest, share of the encode-only rate", "ingest.share_of_encode", "", ".3f"),
    ("ingest, peak memory, MB", "ingest.peak_mb", "tutorial.ingest.peak_mb", ".0f"),
    ("start to ready, s", "server.ready_s", "tutorial.server.ready_s", ".2f"),
    ("server's memory, MB", "server.memory.resident_mb", "tutorial.server.memory.resident_mb", ".0f"),
    ("… of which not mapped files", "server.memory.private_mb", "tutorial.server.memory.private_mb", ".0f"),
    ("… highest", "server.memory.peak_mb", "tutorial.server.memory.peak_mb", ".0f"),
    ("search, alone, p50 ms", "speed.search.alone.p50_ms", "tutorial.speed.search.alone.p50_ms", ".2f"),
    ("search, alone, p99 ms", "speed.search.alone.p99_ms", "tutorial.speed.search.alone.p99_ms", ".2f"),
    ("search, 32 callers, a second", "speed.search.together.per_s", "tutorial.speed.search.together.per_s", ".1f"),
    ("search, 32 callers, p50 ms", "speed.search.together.p50_ms", "tutorial.speed.search.together.p50_ms", ".1f"),
    ("search, 32 callers, p99 ms", "speed.search.together.p99_ms", "tutorial.speed.search.together.p99_ms", ".1f"),
    ("search, 32 callers, refused", "speed.search.together.refused", "tutorial.speed.search.together.refused", ".0f"),
    ("cited answer, alone, p50 ms", "speed.answer.alone.p50_ms", "", ".2f"),
    ("cited answer, alone, p99 ms", "speed.answer.alone.p99_ms", "", ".2f"),
    ("cited answer, 32 callers, a second", "speed.answer.together.per_s", "", ".1f"),
    ("cited answer, 32 callers, p99 ms", "speed.answer.together.p99_ms", "", ".1f"),
)

QUALITY: tuple[tuple[str, str, str], ...] = (
    ("hit@1", "quality.search.hit_at_1", "tutorial.quality.hit_at_1"),
    ("hit@5", "quality.search.hit_at_5", "tutorial.quality.hit_at_5"),
    ("MRR@10", "quality.search.mrr_at_10", "tutorial.quality.mrr_at_10"),
    ("nDCG@10", "quality.search.ndcg_at_10", "tutorial.quality.ndcg_at_10"),
    ("(questions)", "quality.search.questions", "tutorial.quality.questions"),
    ("answer contains a gold answer, of all", "quality.answers.contains", ""),
    ("… of those it answered", "quality.answers.contains_when_answered", ""),
    ("abstained, answerable", "quality.answers.abstained_answerable", ""),
    ("abstained, out of corpus", "quality.answers.abstained_outside", ""),
    ("abstained, out of corpus, but the words occur", "quality.answers.abstained_outside_flagged", ""),
    ("abstained, marked impossible", "quality.answers.abstained_impossible", ""),
)


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Everything, the bars last."""
    _heading(console, results["machine"], results["run"])
    _compared(console, "Quality", [(what, ours, theirs, ".3f") for what, ours, theirs in QUALITY], results)
    for name in ("outside", "impossible"):
        _curve(console, name, results)
    _compared(console, "Speed", SPEED, results)
    _stages(console, results)
    if "load" in results:
        load_rows = [(what, f"load.{ours}", "", form) for what, ours, _, form in SPEED]
        _compared(console, f"Speed, store of {results['load']['documents']} documents", load_rows, results)
        _stages(console, results["load"])
    _encoder(console, results)
    _bars(console, results["bars"])
    for note in results["not_measured"]:
        console.print(f"[yellow]not measured[/] {note}")


def _heading(console: Console, machine: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    flags = ", ".join(machine["flags"]) or "no flags of note"
    changed = " with uncommitted changes" if machine["uncommitted_changes"] else ""
    console.print(
        f"\n[bold]{machine['processor']}[/], {machine['cores']} cores ({flags}),"
        f" {machine['memory_gb']} GB; Penstock {machine['penstock']} at {machine['commit'] or 'no commit'}{changed};"
        f" {run['corpus']}: {run['documents']} documents, {run['questions']} questions; seed {run['seed']};"
        f" {run['seconds']:.0f} s",
        highlight=False,
    )
    if machine["load_before"] > machine["cores"] / 4:
        console.print(
            f"[yellow]The machine was busy when this began (load {machine['load_before']}): the speeds do not count.[/]"
        )


def _compared(
    console: Console, title: str, rows: Sequence[tuple[str, str, str, str]], results: Mapping[str, Any]
) -> None:
    rows = [
        row for row in rows if figure(results, row[1]) is not None or (row[2] and figure(results, row[2]) is not None)
    ]
    if not rows:
        return
    table = Table("", "penstock", "tutorial", "ratio", title=title, title_justify="left", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for what, one, other, form in rows:
        ours, theirs = figure(results, one), figure(results, other) if other else None
        whole = what == "(questions)"
        ratio = f"{ours / theirs:.2f}" if ours is not None and theirs and not whole else ""
        table.add_row(
            what, *("" if value is None else format(value, ".0f" if whole else form) for value in (ours, theirs)), ratio
        )
    console.print(table, highlight=False)
    console.print()


def _curve(console: Console, name: str, results: Mapping[str, Any]) -> None:
    answers = results.get("quality", {}).get("answers", {})
    if f"curve_{name}" not in answers:
        return
    words = {"outside": "out of corpus", "impossible": "marked impossible"}[name]
    table = Table("abstain below", words, "answerable", title=f"Abstention: {words}", title_justify="left", box=None)
    for point in answers[f"curve_{name}"]:
        table.add_row(f"{point['threshold']:.2f}", f"{point['unanswerable']:.3f}", f"{point['answerable']:.3f}")
    best = answers[f"best_{name}"]
    table.add_row(
        f"[bold]{best['threshold']:.3f}", f"[bold]{best['unanswerable']:.3f}", f"[bold]{best['answerable']:.3f}"
    )
    console.print(table, highlight=False)
    console.print(
        "  The last line: the most that any threshold abstains while refusing at most .100 of the answerable.\n"
    )


def _stages(console: Console, results: Mapping[str, Any]) -> None:
    stages = results.get("speed", {}).get("stages_ms", {})
    if stages:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in stages.items())
        console.print(f"Of a cited answer, alone, the stages take (median, ms): {parts}.\n", highlight=False)


def _encoder(console: Console, results: Mapping[str, Any]) -> None:
    encode = results.get("encode")
    if not encode:
        return
    share, products = encode["share_of_products"], encode["product_gflops"]
    console.print(
        f"Encoder in {encode['machine']['precision']}: {encode['penstock']['passages']['median']} passages/s"
        f" ({encode['penstock']['passages']['least']} to {encode['penstock']['passages']['most']}),"
        f" {share['median']:.0%} of what this CPU does in matrix products of its shapes"
        f" ({products['median']:.0f} GFLOP/s); {encode['padded_share']:.1%} of the tokens were padding.\n",
        highlight=False,
    )


def _bars(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table("bar", "wanted", "measured", "met", title="Bars", title_justify="left", box=None)
    for row in rows:
        met = {True: "[green]yes", False: "[red]no", None: ""}[row["met"]]
        what = f"{row['what']} ({row['corpus']})" if row["corpus"] else row["what"]
        table.add_row(what, _wanted(row), _measured(row), met)
    console.print(table, highlight=False)


def _wanted(row: Mapping[str, Any]) -> str:
    if row["at_least"] is not None:
        return f"≥ {row['at_least']}"
    return f"≤ {row['at_most']}" if row["at_most"] is not None else ""


def _measured(row: Mapping[str, Any]) -> str:
    if row["elsewhere"]:
        return f"by {row['elsewhere']}"
    if row["measured"] is None:
        return "not measured"
    elsewhere = row["corpus"] and row["corpus"] != row["on"]
    return f"{row['measured']:.3f}" + (f" on {row['on']}" if elsewhere else "")
