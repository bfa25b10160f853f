"""How fast the encoder is, how near the hardware, and how true: `python -m benchmarks.encode [--beir FOLDER]`.

Side by side with sentence-transformers in fp32, in an environment of its own (made here the first time, with pip),
in turns, so that a machine that others use too disturbs both alike. Prints a table and, with --json, writes a file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from penstock.core.context import Priority, start_context
from penstock.core.types import Principal
from penstock.embed.openvino import OpenVinoEmbedder
from penstock.models.described import read_json
from penstock.models.locate import DEFAULT_MODEL, locate

ENVIRONMENT = Path(".venv-bench")
PEER = Path(__file__).with_name("encode_peer.py")


def main() -> None:
    arguments = _arguments()
    passages, questions = _texts(arguments.beir, arguments.texts)
    report = asyncio.run(_measure(arguments, passages, questions))
    _print(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beir", type=Path, help="a BEIR folder (corpus.jsonl, queries.jsonl); default: made-up texts")
    parser.add_argument("--texts", type=int, default=128, help="passages, and questions, in one repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "int8"])
    parser.add_argument("--batch-tokens", type=int, default=1_024)
    parser.add_argument("--peer-python", type=Path, help="a Python that has sentence-transformers already")
    parser.add_argument("--no-peer", action="store_true", help="leave sentence-transformers out")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _texts(folder: Path | None, count: int) -> tuple[list[str], list[str]]:
    if folder is None:
        random = np.random.default_rng(1)
        words = [f"{a}{b}" for a in ("river", "stone", "market", "winter", "engine") for b in ("", "s", "side", "less")]
        return (
            [" ".join(random.choice(words, size)) for size in random.integers(30, 120, count)],
            [" ".join(random.choice(words, size)) + "?" for size in random.integers(6, 14, count)],
        )

    def lines(name: str) -> list[str]:
        with (folder / name).open(encoding="utf-8") as stream:
            return [json.loads(line)["text"] for line, _ in zip(stream, range(count), strict=False)]

    return lines("corpus.jsonl"), lines("queries.jsonl")


async def _measure(arguments: argparse.Namespace, passages: list[str], questions: list[str]) -> dict[str, Any]:
    embedder = OpenVinoEmbedder(model=DEFAULT_MODEL, precision=arguments.precision, batch_tokens=arguments.batch_tokens)
    before = _rss_mb()
    began = time.perf_counter()
    embedder.start()
    start_s = time.perf_counter() - began
    started = _rss_mb()
    peer = None if arguments.no_peer else Peer(python=arguments.peer_python or _environment())
    runs: dict[str, list[float]] = {name: [] for name in ("passages", "questions", "products")}
    theirs: dict[str, list[float]] = {"passages": [], "questions": []}
    try:
        mine = await _embed(embedder, passages, "ingestion")  # once for warmth
        await _embed(embedder, questions, "ingestion")
        totals, encoded = embedder.totals(), _rss_mb()
        multiply = _products(embedder.precision)
        for _ in range(arguments.repeats):
            for name, texts in (("passages", passages), ("questions", questions)):
                # A/B/A: ours, theirs, ours.
                first = await _rate(embedder, texts)
                if peer is not None:
                    theirs[name].append(peer.rate(texts))
                runs[name].append(statistics.mean((first, await _rate(embedder, texts))))
            runs["products"].append(multiply())
        report = {
            "machine": _machine(embedder.precision),
            "model": embedder.model,
            "start_s": round(start_s, 3),
            "memory_mb": {"before": before, "started": started, "encoded": encoded},
            "padded_share": round(totals.padding / (totals.tokens + totals.padding), 4),
            "penstock": {name: _spread(runs[name]) for name in ("passages", "questions")},
            "product_gflops": _spread(runs["products"]),
            "single_question": await _singles(embedder, questions),
        }
        gflop = _gflop(embedder, passages) / len(passages)
        report["gflop_per_passage"] = round(gflop, 3)
        report["share_of_products"] = _spread(
            [rate * gflop / limit for rate, limit in zip(runs["passages"], runs["products"], strict=True)]
        )
        if peer is not None:
            report["sentence_transformers"] = {name: _spread(rates) for name, rates in theirs.items()}
            report["ratio"] = {
                name: _spread([a / b for a, b in zip(runs[name], theirs[name], strict=True)]) for name in theirs
            }
            report["sentence_transformers_single_ms"] = peer.single(questions)
            cosines = (mine * peer.vectors(passages)).sum(axis=1)
            report["cosine"] = {"least": round(float(cosines.min()), 6), "mean": round(float(cosines.mean()), 6)}
        return report
    finally:
        embedder.stop()
        if peer is not None:
            peer.close()


async def _embed(embedder: OpenVinoEmbedder, texts: Sequence[str], priority: Priority) -> Any:
    ctx = start_context(principal=Principal(), timeout_s=600, priority=priority)
    return await embedder.embed(texts, ctx, kind="query" if priority == "interactive" else "passage")


async def _rate(embedder: OpenVinoEmbedder, texts: Sequence[str]) -> float:
    began = time.perf_counter()
    await _embed(embedder, texts, "ingestion")
    return len(texts) / (time.perf_counter() - began)


async def _singles(embedder: OpenVinoEmbedder, questions: Sequence[str]) -> dict[str, float]:
    times: list[float] = []
    for question in [*questions[:20], *questions]:
        began = time.perf_counter()
        await _embed(embedder, [question], "interactive")
        times.append((time.perf_counter() - began) * 1e3)
    times = times[20:]
    return {
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p99_ms": round(float(np.percentile(times, 99)), 2),
        "tokens_mean": round(statistics.mean(embedder.tokenizer.count(questions)) + 2, 1),
    }


def _gflop(embedder: OpenVinoEmbedder, texts: Sequence[str]) -> float:
    """s·(24·L·h² + 4·L·h·s) for each text of s tokens; padding is not work."""
    config = read_json(locate(DEFAULT_MODEL).folder / "config.json")
    layers, width = int(config["num_hidden_layers"]), int(config["hidden_size"])
    lengths = [min(count + 2, embedder.window) for count in embedder.tokenizer.count(texts)]
    return sum(s * (24 * layers * width**2 + 4 * layers * width * s) for s in lengths) / 1e9


def _products(precision: str) -> Callable[[], float]:
    """A measure, in GFLOP/s, of what this CPU does with matrix products of the encoder's shapes."""
    rows, inner, columns, chain = 2_048, 384, 1_536, 8
    random = np.random.default_rng(0)
    source = op.parameter([rows, inner], np.float32)
    node: Any = source
    for _ in range(chain):
        for shape in ((inner, columns), (columns, inner)):
            node = op.matmul(node, op.constant(random.normal(0, 0.02, shape).astype(np.float32)), False, False)
    hint = "bf16" if precision == "bf16" else "f32"
    compiled = ov.Core().compile_model(
        ov.Model([node], [source], "products"), "CPU", {"INFERENCE_PRECISION_HINT": hint}
    )
    request, data = compiled.create_infer_request(), random.normal(0, 1, (rows, inner)).astype(np.float32)
    request.infer([data])

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(3):
            request.infer([data])
        return 3 * chain * 2 * 2 * rows * inner * columns / (time.perf_counter() - began) / 1e9

    return measure


class Peer:
    """sentence-transformers in a process of its own, asked in JSON lines."""

    def __init__(self, *, python: Path) -> None:
        folder = str(locate(DEFAULT_MODEL).folder)
        self._process = subprocess.Popen(
            [str(python), str(PEER), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ask({"do": "rate", "texts": ["warm"] * 32})

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def rate(self, texts: Sequence[str]) -> float:
        return float(self._ask({"do": "rate", "texts": list(texts)}))

    def single(self, texts: Sequence[str]) -> dict[str, float]:
        return dict(self._ask({"do": "single", "texts": list(texts)}))

    def vectors(self, texts: Sequence[str]) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "vectors.npy"
            self._ask({"do": "vectors", "texts": list(texts), "file": str(file)})
            return np.load(file, allow_pickle=False)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _environment() -> Path:
    """A Python with sentence-transformers, made once. torch goes first and by version: else pip takes CUDA along."""
    python = ENVIRONMENT / "bin" / "python"
    marker = ENVIRONMENT / "sentence-transformers.ready"
    if not marker.exists():
        print(f"making {ENVIRONMENT} with torch and sentence-transformers (once, minutes)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        for package in ("torch==2.13.0", "sentence-transformers>=5"):
            subprocess.run([str(python), "-m", "pip", "install", "-q", package], check=True)
        marker.touch()
    return python


def _spread(values: Sequence[float]) -> dict[str, float]:
    rounded = 4 if max(values) < 10 else 1
    return {
        "median": round(statistics.median(values), rounded),
        "least": round(min(values), rounded),
        "most": round(max(values), rounded),
    }


def _rss_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def _machine(precision: str) -> dict[str, Any]:
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": str(ov.Core().get_property("CPU", "FULL_DEVICE_NAME")),
        "capabilities": list(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "precision": precision,
        "openvino": ov.__version__,
        "python": platform.python_version(),
        "commit": git.stdout.strip(),
        "load": round(os.getloadavg()[0], 2),
    }


def _print(report: dict[str, Any]) -> None:
    def row(name: str, spread: dict[str, float], unit: str) -> None:
        print(f"{name:<44}{spread['median']:>10} {unit:<12}({spread['least']} to {spread['most']})")

    machine = report["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['precision']}, load {machine['load']}")
    for name in ("passages", "questions"):
        row(f"penstock, {name}", report["penstock"][name], "/s")
        if "ratio" in report:
            row(f"sentence-transformers fp32, {name}", report["sentence_transformers"][name], "/s")
            row(f"ratio, {name}", report["ratio"][name], "x")
    row("matrix products of these shapes", report["product_gflops"], "GFLOP/s")
    row("share of them that the encoder reaches", report["share_of_products"], "")
    single = report["single_question"]
    print(f"one question of {single['tokens_mean']} tokens: p50 {single['p50_ms']} ms, p99 {single['p99_ms']} ms")
    if "cosine" in report:
        print(f"sentence-transformers, one question: {report['sentence_transformers_single_ms']}")
        print(f"cosine to sentence-transformers: least {report['cosine']['least']}, mean {report['cosine']['mean']}")
    memory = report["memory_mb"]
    print(f"padding {report['padded_share']:.1%}; start {report['start_s']} s; memory {memory} MB")


if __name__ == "__main__":
    main()
