"""How good the built-in answers are, and where their constants come from.

python -m benchmarks.answer_quality measure FOLDER [--unanswerable FILE] [--limit 8] [--json FILE]
    Ingest a BEIR folder (corpus.jsonl, queries.jsonl with `answers`, qrels.tsv) with the default settings, ask
    every question through the question pipeline, and report answer containment, abstention and its whole curve.
    Questions without an answer: those marked `impossible`, and those in FILE that are not marked
    `answer_string_occurs_in_corpus`.
python -m benchmarks.answer_quality fit FOLDER [--exclude FILE]
    Fit the weights of sentences and of evidence on a training folder (squad-train) and print them.
python -m benchmarks.answer_quality words FOLDER
    Count how rare English words are in a corpus, and print word_levels.txt.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import math
import re
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answer_fit import fit_evidence, fit_sentences
from penstock.assemble import Penstock
from penstock.config import Settings
from penstock.core.context import Context, start_context
from penstock.core.types import Hit, Principal, Store
from penstock.generate.extractive.words import stems
from penstock.pipeline.question import Question

ME = Principal()
PLAIN = re.compile(r" ?\[\d+\]")
ARTICLES, QUESTIONS, STRANGERS = 60, 6_000, 3_000
"""Of the training folder: articles that make the corpus, questions about them, questions about other articles."""


def lines(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """A folder's file as rows, whether or not it is compressed."""
    file = folder / name
    with file.open(encoding="utf-8") if file.exists() else gzip.open(f"{file}.gz", "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def plain(text: str) -> str:
    return " ".join(PLAIN.sub("", text).lower().split())


def contains(text: str, answers: list[str]) -> bool:
    low = plain(text)
    return any(plain(answer) in low for answer in answers if answer.strip())


def context() -> Context:
    return start_context(principal=ME, timeout_s=86_400.0)


@asynccontextmanager
async def served(corpus: Path) -> AsyncIterator[tuple[Penstock, Store]]:
    """The assembled program with the corpus ingested, default settings, in a folder that goes away."""
    with tempfile.TemporaryDirectory() as folder:
        program = Penstock(settings=Settings(data_dir=folder), environ={})
        await program.start()
        try:
            store = await program.store_for_writing(ME.tenant, "quality")
            progress = await program.ingest(store, program.sources([corpus]), context())
            print(
                f"{progress.completed} documents, {progress.failed} failed, {progress.chunks} chunks", file=sys.stderr
            )
            yield program, store
        finally:
            await program.stop()


def unpacked(folder: Path, into: Path, *, only: set[str] | None = None) -> Path:
    """The corpus as a JSON Lines file, of some titles only where `only` names them."""
    with into.open("w", encoding="utf-8") as stream:
        for row in lines(folder, "corpus.jsonl"):
            if only is None or row.get("title") in only:
                stream.write(json.dumps(row) + "\n")
    return into


# --- measuring --------------------------------------------------------------------


async def measure(args: argparse.Namespace) -> None:
    asked = [(row, not row.get("impossible")) for row in lines(args.folder, "queries.jsonl")]
    if args.unanswerable:
        rows = lines(args.unanswerable.parent, args.unanswerable.name)
        asked += [(row, False) for row in rows if row.get("answer_string_occurs_in_corpus") is not True]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        corpus = unpacked(args.folder, Path(folder) / "corpus.jsonl")
        async with served(corpus) as (program, store):
            for row, answerable in asked:
                results.append(await _answer(program, store, row, answerable, args.limit))
    report = _report(results) | {"folder": args.folder.name, "limit": args.limit}
    print(json.dumps(report, indent=2))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


async def _answer(program: Penstock, store: Store, row: dict[str, Any], answerable: bool, limit: int) -> dict[str, Any]:  # noqa: FBT001 - a label
    answering = await program.questions.ask(Question(text=row["text"], stores=(store,), limit=limit), context())
    began = time.perf_counter()
    text, sentences = "", 0
    async for delta in answering:
        text += delta.text
        sentences += len(delta.citations)
    return {
        "answerable": answerable,
        "abstained": answering.abstained,
        "confidence": answering.confidence,
        "contains": not answering.abstained and contains(text, row.get("answers", [])),
        "found": contains("\n".join(hit.chunk.text for hit in answering.found.hits), row.get("answers", [])),
        "sentences": sentences,
        "generate_ms": (time.perf_counter() - began) * 1e3,
    }


def _report(results: list[dict[str, Any]]) -> dict[str, Any]:
    yes = [each for each in results if each["answerable"]]
    no = [each for each in results if not each["answerable"]]
    took = sorted(each["generate_ms"] for each in results)
    report: dict[str, Any] = {
        "answerable": len(yes),
        "answer_contains": _share(yes, "contains"),
        "hits_contain": _share(yes, "found"),
        "wrongly_abstained": _share(yes, "abstained"),
        "sentences_max": max(each["sentences"] for each in results),
        "generate_ms_p50": round(statistics.median(took), 2),
        "generate_ms_p99": round(took[int(0.99 * (len(took) - 1))], 2),
    }
    if not no:
        return report
    sure, unsure = (np.array([each["confidence"] for each in part]) for part in (yes, no))
    ranks = np.concatenate([sure, unsure]).argsort().argsort()
    pairs = len(sure) * len(unsure)
    return report | {
        "unanswerable": len(no),
        "rightly_abstained": _share(no, "abstained"),
        "auc": round(float((ranks[: len(sure)].sum() - len(sure) * (len(sure) - 1) / 2) / pairs), 4),
        "curve": {
            f"threshold {at:.4f}": {"wrongly": round(share, 3), "rightly": round(float((unsure < at).mean()), 3)}
            for share in (0.01, 0.02, 0.05, 0.08, 0.10, 0.15, 0.20, 0.30)
            for at in [float(np.quantile(sure, share))]
        },
        "calibration": _calibration(sure, unsure),
    }


def _calibration(sure: np.ndarray, unsure: np.ndarray) -> dict[str, float]:
    """Share of answerable questions by confidence, as if three of four questions were answerable."""
    weight = len(sure) / len(unsure) / 3
    bins = {}
    for low in (0.0, 0.25, 0.5, 0.75, 0.9, 0.97):
        high = {0.0: 0.25, 0.25: 0.5, 0.5: 0.75, 0.75: 0.9, 0.9: 0.97}.get(low, 1.01)
        good = float(((sure >= low) & (sure < high)).sum())
        bad = float(((unsure >= low) & (unsure < high)).sum()) * weight
        bins[f"{low:.2f}-{min(high, 1.0):.2f}"] = round(good / (good + bad), 3) if good + bad else math.nan
    return bins


def _share(rows: list[dict[str, Any]], name: str) -> float:
    return round(sum(bool(each[name]) for each in rows) / max(1, len(rows)), 4)


# --- fitting ----------------------------------------------------------------------


async def fit(args: argparse.Namespace) -> None:
    chance = np.random.default_rng(1)
    titles = sorted({row["title"] for row in lines(args.folder, "corpus.jsonl")})
    mine = set(chance.permutation(titles)[:ARTICLES].tolist())
    left_out = {row["_id"] for row in lines(args.exclude.parent, args.exclude.name)} if args.exclude else set()
    rows = [row for row in lines(args.folder, "queries.jsonl") if row["_id"] not in left_out]
    near = [row for row in rows if row["article"] in mine]
    far = [row for row in rows if row["article"] not in mine]
    near = [near[i] for i in chance.permutation(len(near))[:QUESTIONS]]
    far = [far[i] for i in chance.permutation(len(far))[:STRANGERS]]
    with tempfile.TemporaryDirectory() as folder:
        corpus = unpacked(args.folder, Path(folder) / "corpus.jsonl", only=mine)
        passages = {row["_id"]: row["text"] for row in lines(Path(folder), "corpus.jsonl")}
        golds = dict(_golds(args.folder))
        async with served(corpus) as (program, store):
            found = [(row, await _hits(program, store, row["text"])) for row in [*near, *far]]
    sentences = fit_sentences(found[: len(near)], contains=contains)
    evidence = fit_evidence(found, passages, golds, sentences, contains=contains, chance=chance)
    print(json.dumps({"sentences": sentences, "evidence": evidence}, indent=2))


async def _hits(program: Penstock, store: Store, text: str) -> tuple[Hit, ...]:
    found, _ = await program.questions.search(Question(text=text, stores=(store,), limit=40), context())
    return found.hits


def _golds(folder: Path) -> Iterator[tuple[str, str]]:
    file = folder / "qrels.tsv"
    with file.open(encoding="utf-8") if file.exists() else gzip.open(f"{file}.gz", "rt", encoding="utf-8") as stream:
        next(stream)
        for line in stream:
            query, document, _ = line.split("\t")
            yield query, document


# --- words ------------------------------------------------------------------------


async def words(args: argparse.Namespace) -> None:
    having: Counter[str] = Counter()
    passages = 0
    for row in lines(args.folder, "corpus.jsonl"):
        passages += 1
        having.update(set(stems(row["text"])))
    levels: dict[float, list[str]] = defaultdict(list)
    for word, count in having.items():
        year = word.isdigit() and len(word) == 4
        if count >= 10 and word.isascii() and len(word) < 20 and (year or not word.isdigit()):
            levels[round(math.log(passages / count) * 4) / 4].append(word)
    print("# ln(passages / passages with the word), then the words (English Snowball stems). Made by:", end=" ")
    print("benchmarks/answer_quality.py words")
    for level in sorted(levels):
        print(f"{level:g} {' '.join(sorted(levels[level]))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for command in (measure, fit, words):
        sub = commands.add_parser(command.__name__)
        sub.add_argument("folder", type=Path)
        sub.set_defaults(command=command)
        if command is measure:
            sub.add_argument("--unanswerable", type=Path)
            sub.add_argument("--limit", type=int, default=8)
            sub.add_argument("--json", type=Path)
        if command is fit:
            sub.add_argument("--exclude", type=Path, help="questions kept for measuring")
    args = parser.parse_args()
    asyncio.run(args.command(args))


if __name__ == "__main__":
    main()
