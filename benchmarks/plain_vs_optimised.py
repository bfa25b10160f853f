"""Everything plain against everything optimised, by turns in one run: throughput, and each stage's latency.

    python -m benchmarks.plain_vs_optimised --data DIR [--questions queries.jsonl] [--seconds 20] [--repeats 3]

A is benchmarks/plain.toml (fp32, one question at a time), B the defaults; both search the same store over HTTP with the
same callers in a closed loop. The published claim for such a table is four times the throughput with half the p99.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from penstock.bench.load import Load, Stream
from penstock.bench.questions import built_in, read_questions
from penstock.bench.rig import Experiment, Rig
from penstock.bench.tables import line, show

PLAIN = Path(__file__).with_name("plain.toml")
FASTER, SHORTER = 4.0, 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a data folder with a store")
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    experiment = Experiment(
        load=Load(streams=(Stream(arrivals="closed", callers=options.callers),), duration_s=options.seconds),
        questions=read_questions(options.questions) if options.questions else built_in(),
        data=options.data,
        config=PLAIN,
        against=PLAIN.with_name("defaults.toml"),
        repeats=options.repeats,
        limit=10,
    )
    rig = Rig(experiment=experiment, report=lambda trial: console.print(line(trial), highlight=False))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(rig.run())
    show(report, console)
    found = {ratio.figure: ratio.ratio.median for ratio in report.ratios}
    faster, shorter = found["answered /s"], found["latency p99 ms"]
    console.print(f"{faster:.2f} times the answers (bar {FASTER}), {shorter:.2f} times the p99 (bar {SHORTER})")
    return 0 if faster >= FASTER and shorter <= SHORTER else 1


if __name__ == "__main__":
    sys.exit(main())
