"""How long files take to read: `python -m benchmarks.parse FOLDER [--isolate] [--ocr]`.

Reads every file below a folder through the sandboxed parser, as ingestion does, and prints milliseconds a file
and what failed. `--isolate` gives every file a process of its own; `--ocr` reads scans and pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from penstock.config import IngestSettings
from penstock.core.errors import BadDocument
from penstock.ingest.parser import Parser, parser_of


async def main(names: Sequence[str], contents: Sequence[bytes], *, isolate: bool, ocr: bool) -> None:
    parser = parser_of(IngestSettings(isolate_every_file=isolate, ocr="scans" if ocr else "off"))
    try:
        confinement = await parser.confinement()
        start = time.perf_counter()
        ended = await asyncio.gather(
            *(_read(parser, name, content) for name, content in zip(names, contents, strict=True))
        )
        took = time.perf_counter() - start
        peak = parser.peak_bytes
    finally:
        await parser.stop()
    megabytes = sum(map(len, contents)) / 1e6
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"not enforced here: {', '.join(confinement.missing) or 'nothing'}")
    print(f"{len(names)} files, {megabytes:.1f} MB in {took:.2f} s: {1000 * took / max(1, len(names)):.2f} ms a file")
    print(f"ended: {dict(Counter(ended))}; most memory of one process {peak / 1e6:.0f} MB")


async def _read(parser: Parser, name: str, content: bytes) -> str:
    try:
        await parser.parse(content, filename=name)
    except BadDocument as error:
        return error.reason
    return "read"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--isolate", action="store_true")
    arguments.add_argument("--ocr", action="store_true")
    chosen = arguments.parse_args()
    found = sorted(file for file in chosen.folder.rglob("*") if file.is_file())
    read = [file.read_bytes() for file in found]
    asyncio.run(main([file.name for file in found], read, isolate=chosen.isolate, ocr=chosen.ocr))
