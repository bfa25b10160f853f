"""Quality and speed of the main job on any folder in BEIR's form: `make bench BEIR=folder`.

Runs the program as a user does (`penstock ingest`, `penstock serve`, its API over HTTP), and in turns with it what a
user would otherwise write (benchmarks/tutorial). Prints tables and writes JSON. The data folder is only read.
Speeds count only where nothing else runs on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.main_job import machine
from benchmarks.main_job.bars import compare, read_bars
from benchmarks.main_job.beir import Dataset, Unusable, read_dataset
from benchmarks.main_job.process import Failed
from benchmarks.main_job.program import Program
from benchmarks.main_job.ratios import ratios, share_of_encode
from benchmarks.main_job.report import show
from benchmarks.main_job.runs import QUICK, Bench, Effort
from benchmarks.main_job.tutorial import environment

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_SET = "squad-dev-a"
SAMPLE = 500
"""Questions of each kind with --quick."""

console = Console(stderr=True)


def main() -> int:
    arguments = _arguments()
    try:
        data, load = _datasets(arguments)
        results = _measure(arguments, data, load)
    except (Unusable, Failed) as error:
        console.print(f"bench: {error}", style="red", markup=False)
        return 2 if isinstance(error, Unusable) else 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    show(Console(width=None if sys.stdout.isatty() else 140), results)
    console.print(f"Written to {arguments.out}.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.main_job", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--beir", type=Path, help=f"folder with questions and answers; default $PENSTOCK_DATA/{DEFAULT_SET}"
    )
    parser.add_argument("--load", type=Path, help="a large folder, for the speed of a large store")
    parser.add_argument("--data", type=Path, help="keep the large store here, and use the one that is there")
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"), help="JSON goes here")
    parser.add_argument("--skip-main", action="store_true", help="only --load")
    parser.add_argument("--skip-tutorial", action="store_true", help="without the stack to compare with")
    parser.add_argument("--quick", action="store_true", help=f"{SAMPLE} questions and one repeat: to see that it works")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn")
    parser.add_argument("--program", help="command to measure instead of the installed `penstock`")
    return parser.parse_args()


def _datasets(arguments: argparse.Namespace) -> tuple[Dataset | None, Dataset | None]:
    main_set = None
    if not arguments.skip_main:
        folder = arguments.beir or Path(os.environ.get("PENSTOCK_DATA", ROOT.parent / "shared" / "data")) / DEFAULT_SET
        if arguments.beir is None and not folder.is_dir():
            raise Unusable(
                "There is no data to measure with. Pass a folder in BEIR's form (corpus.jsonl, queries.jsonl, "
                f"qrels.tsv): make bench BEIR=folder; or set PENSTOCK_DATA to a folder that holds {DEFAULT_SET}/."
            )
        main_set = read_dataset(folder)
        if not main_set.answerable:
            raise Unusable(f"{folder}: qrels.tsv names no question of queries.jsonl.")
    if arguments.skip_main and arguments.load is None:
        raise Unusable("--skip-main leaves nothing to measure without --load.")
    sampled = main_set.sampled(SAMPLE, seed=arguments.seed) if main_set and arguments.quick else main_set
    return sampled, read_dataset(arguments.load) if arguments.load else None


def _measure(arguments: argparse.Namespace, data: Dataset | None, load: Dataset | None) -> dict[str, Any]:
    began_s = time.perf_counter()
    about = machine.describe(ROOT)
    not_measured: list[str] = []
    results: dict[str, Any] = {"machine": about}
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as scratch:
        program = Program(command=shlex.split(arguments.program) if arguments.program else None, cwd=Path(scratch))
        bench = Bench(
            root=ROOT,
            scratch=Path(scratch),
            program=program,
            effort=QUICK if arguments.quick else Effort(),
            seed=arguments.seed,
            when=f"{about['measured_at']} at {about['commit']}",
            say=lambda text: _say(text, time.perf_counter() - began_s),
            ticks=_ticks,
        )
        about["changed_settings"] = program.changed_settings()
        if data is not None:
            results |= bench.main_corpus(data, peer=_peer(arguments, not_measured))
            if (share := share_of_encode(results)) is not None:
                results["ingest"]["share_of_encode"] = share
            results["ratios"] = ratios(results)
        if load is not None:
            results["load"] = bench.load_corpus(load, kept=arguments.data.absolute() if arguments.data else None)
        else:
            not_measured.append("a large store: --load FOLDER measures it")
    about["load_after"] = machine.load()
    some = data or load
    assert some is not None
    results["run"] = {
        "command": " ".join(sys.orig_argv[1:]),
        "corpus": some.name,
        "documents": some.passages,
        "questions": len(some.answerable),
        "quick": arguments.quick,
        "seed": arguments.seed,
        "seconds": time.perf_counter() - began_s,
    }
    if load is not None:
        results["load"]["corpus"] = load.name
        ingest = results["load"]["ingest"]
        if not ingest:
            not_measured.append(f"the ingestion of {load.name}: the store was there already")
        elif ingest.get("earlier_run"):
            not_measured.append(f"the ingestion of {load.name} in this run: its figures are of {ingest['measured']}")
    results["bars"] = compare(results, read_bars())
    if arguments.quick:
        not_measured.append("anything one could rely on: a quick run takes a sample, once")
    results["not_measured"] = not_measured
    return results


def _peer(arguments: argparse.Namespace, not_measured: list[str]) -> Path | None:
    """The tutorial's Python; None, and why, where there is none."""
    if arguments.skip_tutorial:
        not_measured.append("the tutorial's stack, and all ratios to it: left out with --skip-tutorial")
        return None
    try:
        return environment(ROOT, console.print)
    except Failed as error:
        not_measured.append(f"the tutorial's stack, and all ratios to it: {error}")
        return None


def _say(text: str, after_s: float) -> None:
    console.print(f"[dim]{after_s:5.0f} s[/] {text}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _ticks(name: str, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("        {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)


if __name__ == "__main__":
    sys.exit(main())
