"""Quality and speed of the index by itself, without encoder or HTTP.

    python -m benchmarks.search --beir FOLDER --vectors VECTORS.npz [--chunks 18891] [--json OUT]

FOLDER is in BEIR form. VECTORS.npz holds `passages` and `queries`, rows in the order of corpus.jsonl and
queries.jsonl. For speed, a store of `--chunks` is filled with the passages over and over, each copy's
vectors disturbed by noise. Recall is that of the whole fused search against the same scores computed over
every chunk. Timings are wall clock; report ratios, as machines are noisy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.config import SearchSettings
from penstock.core.context import start_context
from penstock.core.types import Chunk, Entry, Found, Principal, Query, Vectors
from penstock.search import EdgeIndex, MemoryIndex

CTX = start_context(principal=Principal(), timeout_s=3600)


def read_lines(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def entries_of(corpus: Sequence[dict[str, Any]], count: int) -> list[Entry]:
    made = []
    for i in range(count):
        row = corpus[i % len(corpus)]
        name = row["_id"] if i < len(corpus) else f"{row['_id']}~{i // len(corpus)}"
        chunk = Chunk(id=name, position=0, text=row["text"])
        made.append(Entry(chunk=chunk, file_id=name, filename=name, title=row.get("title", ""), version="1"))
    return made


def tiled(vectors: Vectors, count: int) -> Vectors:
    dice = np.random.default_rng(0)
    made: Vectors = vectors[np.arange(count) % len(vectors)].copy()
    made[len(vectors) :] += dice.normal(0, 0.02, made[len(vectors) :].shape).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


async def fill(index: EdgeIndex | MemoryIndex, entries: Sequence[Entry], vectors: Vectors, batch: int = 256) -> float:
    began = time.perf_counter()
    for start in range(0, len(entries), batch):
        await index.write(entries[start : start + batch], vectors[start : start + batch], [], CTX)
    return time.perf_counter() - began


def quality(found: Sequence[Found], gold: Sequence[set[str]]) -> dict[str, float]:
    ranks = []
    for each, right in zip(found, gold, strict=True):
        ranks.append(next((i for i, hit in enumerate(each.hits, 1) if hit.file_id in right), 0))
    count = len(ranks)
    return {
        "questions": count,
        "hit@1": sum(rank == 1 for rank in ranks) / count,
        "hit@5": sum(0 < rank <= 5 for rank in ranks) / count,
        "MRR@10": sum(1 / rank for rank in ranks if 0 < rank <= 10) / count,
        "nDCG@10": sum(1 / np.log2(rank + 1) for rank in ranks if 0 < rank <= 10) / count,
    }


def percentiles(times: Sequence[float]) -> dict[str, float]:
    return {
        name: round(float(np.percentile(times, share)) * 1e3, 3) for name, share in (("p50_ms", 50), ("p99_ms", 99))
    }


async def one_by_one(index: EdgeIndex, asked: Sequence[tuple[Query, Any]]) -> dict[str, float]:
    times = []
    for query, vector in asked:
        began = time.perf_counter()
        await index.search(query, vector, CTX)
        times.append(time.perf_counter() - began)
    return percentiles(times)


async def in_batches(index: EdgeIndex, asked: Sequence[tuple[Query, Any]], size: int) -> float:
    began = time.perf_counter()
    for start in range(0, len(asked), size):
        await index.search_many(asked[start : start + size], CTX)
    return len(asked) / (time.perf_counter() - began)


async def at_once(index: EdgeIndex, asked: Sequence[tuple[Query, Any]], callers: int) -> float:
    turns = iter(asked)

    async def call() -> None:
        for query, vector in turns:
            await index.search(query, vector, CTX)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return len(asked) / (time.perf_counter() - began)


async def measure_quality(args: argparse.Namespace, settings: SearchSettings) -> dict[str, dict[str, float]]:
    corpus, queries = read_lines(args.beir / "corpus.jsonl"), read_lines(args.beir / "queries.jsonl")
    with np.load(args.vectors) as stored:
        passages, questions = stored["passages"], stored["queries"]
    relevant: dict[str, set[str]] = {}
    for line in (args.beir / "qrels.tsv").read_text().splitlines()[1:]:
        question, passage, _ = line.split("\t")
        relevant.setdefault(question, set()).add(passage)
    asked = [(row, vector) for row, vector in zip(queries, questions, strict=False) if row["_id"] in relevant]
    results = {}
    arms = {
        "fused (default)": settings,
        "ranks (RRF, k=60)": msgspec.structs.replace(settings, fusion="ranks", candidates=50),
        "meaning alone": msgspec.structs.replace(settings, dense_weight=1.0),
        "words alone": msgspec.structs.replace(settings, dense_weight=0.0),
    }
    for name, chosen in arms.items():
        with tempfile.TemporaryDirectory() as folder:
            index = EdgeIndex(
                folder=Path(folder) / "vs", store_id="vs", model="m", dimension=passages.shape[1], settings=chosen
            )
            await index.start()
            await fill(index, entries_of(corpus, len(corpus)), passages)
            found = []
            for start in range(0, len(asked), 32):
                batch = [(Query(text=row["text"]), vector) for row, vector in asked[start : start + 32]]
                found += await index.search_many(batch, CTX)
            await index.stop()
        results[name] = quality(found, [relevant[row["_id"]] for row, _ in asked])
    return results


async def recall(index: EdgeIndex, exact: MemoryIndex, asked: Sequence[tuple[Query, Any]]) -> float:
    shares = []
    for query, vector in asked:
        best = {hit.chunk.id for hit in (await exact.search(query, vector, CTX)).hits}
        got = {hit.chunk.id for hit in (await index.search(query, vector, CTX)).hits}
        shares.append(len(best & got) / len(best))
    return float(np.mean(shares))


async def measure_speed(args: argparse.Namespace, settings: SearchSettings) -> dict[str, Any]:
    corpus, queries = read_lines(args.beir / "corpus.jsonl"), read_lines(args.beir / "queries.jsonl")
    with np.load(args.vectors) as stored:
        vectors, questions = tiled(stored["passages"], args.chunks), stored["queries"]
    entries = entries_of(corpus, args.chunks)
    asked = [(Query(text=row["text"]), vector) for row, vector in zip(queries, questions, strict=False)][
        : args.questions
    ]
    report: dict[str, Any] = {"chunks": args.chunks, "vector bits": settings.vector_bits}
    with tempfile.TemporaryDirectory() as folder:
        made = {"store_id": "vs", "dimension": vectors.shape[1], "settings": settings}
        index = EdgeIndex(folder=Path(folder) / "vs", model="m", **made)
        before = resident_mib()
        await index.start()
        seconds = await fill(index, entries, vectors)
        report["write chunks/s"] = round(args.chunks / seconds)
        report["memory after writing MiB"] = round(resident_mib() - before, 1)
        await index.stop()
        began = time.perf_counter()
        await index.start()
        report["open s"] = round(time.perf_counter() - began, 3)
        await one_by_one(index, asked[:50])
        report["one at a time"] = await one_by_one(index, asked)
        report["batches of 8 q/s"] = round(await in_batches(index, asked, 8))
        report["batches of 32 q/s"] = round(await in_batches(index, asked, 32))
        for callers in (1, 2, 4, 16):
            report[f"{callers} callers q/s"] = round(await at_once(index, asked, callers))
        report["memory after searching MiB"] = round(resident_mib() - before, 1)
        exact = MemoryIndex(**made)
        await fill(exact, entries, vectors)
        report["recall@10 against every chunk scored"] = round(await recall(index, exact, asked[: args.exact]), 4)
        await index.stop()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beir", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=18_891)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--exact", type=int, default=20)
    parser.add_argument("--vector-bits", type=int, choices=(8, 16), default=SearchSettings().vector_bits)
    parser.add_argument("--skip-quality", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    settings = SearchSettings(vector_bits=args.vector_bits)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}",
        "commit": commit.stdout.strip(),
        "speed": asyncio.run(measure_speed(args, settings)),
    }
    if not args.skip_quality:
        report["quality"] = asyncio.run(measure_quality(args, settings))
    for name, value in report.pop("speed").items():
        print(f"{name:40} {value}")
        report[name] = value
    for name, values in report.get("quality", {}).items():
        print(f"{name:20}", "  ".join(f"{key} {value:.4g}" for key, value in values.items()))
    print(report["machine"], report["commit"])
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
