"""Beyond capacity: overload, a spike of batch work, a noisy neighbour, deadlines, an engine that fails.

    python -m benchmarks.overload [overload spike neighbour deadlines failing] [--seconds 60] [--slots 32] [--json FILE]

The language model is a fake whose capacity is slots x 250 ms, so it is not the processor that is measured. The server
has the first core, generator and engine the last one. Callers come in an open loop. Exit code 1: a bar was missed.
The bars only mean something on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks.overload.checks import CHECKS, Row, Trial


async def run(options: argparse.Namespace) -> dict[str, list[Row]]:
    cores = sorted(os.sched_getaffinity(0))
    apart = len(cores) > 1
    found: dict[str, list[Row]] = {}
    for name in options.checks or CHECKS:
        with tempfile.TemporaryDirectory(prefix="penstock-overload-") as folder:
            trial = Trial(
                folder=Path(folder),
                seconds=options.seconds,
                slots=options.slots,
                seed=options.seed,
                server_cores=tuple(cores[:1]) if apart else (),
                generator_cores=tuple(cores[-1:]) if apart else (),
            )
            found[name] = await CHECKS[name](trial)
        print(f"\n{name}: {(CHECKS[name].__doc__ or '').strip()}")
        for row in found[name]:
            verdict = "" if not row.bar else "met" if row.met else "MISSED"
            print(f"  {row.what:42} {row.bar:28} {row.measured:28} {verdict}")
        sys.stdout.flush()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", choices=[*CHECKS, []], help="which; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.slots} slots of 250 ms, {options.seconds:.0f} s each")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options))
    if options.json:
        options.json.write_text(
            json.dumps({name: [row._asdict() for row in rows] for name, rows in found.items()}, indent=2)
        )
    return 0 if all(row.met for rows in found.values() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
