"""Memory of a long ingestion: `python -m benchmarks.steady [--documents 100000] [--uploads 0]`.

Short documents of random words, a tiny encoder of random weights (made here), the real program otherwise: `penstock
ingest` over a JSON Lines file, and with --uploads the same over HTTP, into a running server with a worker beside it.

Compared are the last tenth of the documents and the second: what the process holds itself (RssAnon), and that together
with the pages of the index's files that the system keeps mapped (VmRSS), which it takes back when it needs them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from tests.embed.tiny_encoders import WORDS, make

EVERY_S = 0.25
BATCH = 200
CALLERS = 8
PROGRAM = [sys.executable, "-c", "from penstock.cli import main; main()"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000, help="documents of the JSON Lines file")
    parser.add_argument("--uploads", type=int, default=0, help="files that go to a server")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="penstock-steady-") as place:
        work = Path(place)
        encoder = make(work / "encoder")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PENSTOCK_EMBED_MODEL": str(encoder)}
        if arguments.documents:
            figures["ingest"] = _ingest(work, arguments.documents, environment)
        if arguments.uploads:
            figures["uploads"] = asyncio.run(_serve(work, arguments.uploads, environment))
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def texts(count: int) -> Iterator[str]:
    dice = random.Random(1)  # noqa: S311 - words
    for number in range(count):
        yield " ".join(dice.choices(WORDS[4:], k=12)) + f" {number}"


class Watch:
    """Memory of a process beside the number of its files that are completed."""

    def __init__(self, pid: int, catalog: Path) -> None:
        self._pid = pid
        self._catalog = catalog
        self.samples: list[tuple[int, int, int]] = []

    def look(self) -> int:
        """Take a sample; the number of completed files."""
        with (
            contextlib.suppress(sqlite3.Error, OSError),
            contextlib.closing(sqlite3.connect(f"file:{self._catalog}?mode=ro", uri=True, timeout=1)) as connection,
        ):
            query = "SELECT count(*) FROM store_files WHERE status = 'completed'"
            done = int(connection.execute(query).fetchone()[0])
            status = Path(f"/proc/{self._pid}/status").read_text(encoding="ascii")
            fields = dict(line.split(":", 1) for line in status.splitlines())
            if "RssAnon" in fields:  # a process that has ended and is not waited for yet has no memory
                self.samples.append((done, _kib(fields["RssAnon"]), _kib(fields["VmRSS"])))
            return done
        return self.samples[-1][0] if self.samples else 0

    def figures(self, count: int, took_s: float) -> dict[str, object]:
        result: dict[str, object] = {"documents": count, "seconds": round(took_s, 1), "per_s": round(count / took_s)}
        for place, name in ((1, "own_mib"), (2, "resident_mib")):
            by_tenth: dict[int, list[int]] = {}
            for sample in self.samples:
                by_tenth.setdefault(min(9, 10 * sample[0] // count), []).append(sample[place])
            tenths = [statistics.median(by_tenth[tenth]) / 1024 for tenth in sorted(by_tenth)]
            result[name] = [round(value, 1) for value in tenths]
            if len(tenths) == 10:
                result[f"{name}_last_to_second"] = round(tenths[9] / tenths[1], 3)
                result[f"{name}_bytes_a_document"] = round((tenths[9] - tenths[1]) * 2**20 / (0.8 * count))
        return result


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0])


def _ingest(work: Path, count: int, environment: dict[str, str]) -> dict[str, object]:
    corpus, data = work / "corpus.jsonl", work / "data"
    with corpus.open("w", encoding="utf-8") as stream:
        for number, text in enumerate(texts(count)):
            stream.write(json.dumps({"_id": f"d{number}", "text": text}) + "\n")
    began_s = time.perf_counter()
    with subprocess.Popen([*PROGRAM, "ingest", str(corpus), "--data", str(data)], env=environment) as process:
        watch = Watch(process.pid, data / "catalog.db")
        while process.poll() is None:
            watch.look()
            time.sleep(EVERY_S)
    return watch.figures(count, time.perf_counter() - began_s)


async def _serve(work: Path, count: int, environment: dict[str, str]) -> dict[str, object]:
    data = work / "served"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = {**environment, "PENSTOCK_QUEUE_INSIDE_WORKERS": "0", "PENSTOCK_WORKER_SERVER": address}
    commands = [[*PROGRAM, "serve", "--data", str(data), "--port", str(port)], [*PROGRAM, "worker"]]
    process, worker = [
        await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.DEVNULL)
        for command in commands
    ]
    base = f"{address}/v1"
    try:
        async with aiohttp.ClientSession() as session:
            await _until_ready(session, f"{address}/readyz")
            async with session.post(f"{base}/vector_stores", json={"name": "steady"}) as answer:
                store = (await answer.json())["id"]
            began_s = time.perf_counter()
            watches = [Watch(one.pid, data / "catalog.db") for one in (process, worker)]
            waiting = iter(enumerate(texts(count)))

            async def caller() -> None:
                batch: list[str] = []
                for number, text in waiting:
                    form = aiohttp.FormData({"purpose": "assistants"})
                    form.add_field("file", text.encode(), filename=f"{number}.txt")
                    async with session.post(f"{base}/files", data=form) as answer:
                        batch.append((await answer.json())["id"])
                    if len(batch) == BATCH:
                        await _attach(session, f"{base}/vector_stores/{store}/file_batches", batch)
                if batch:
                    await _attach(session, f"{base}/vector_stores/{store}/file_batches", batch)

            callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
            while min(watch.look() for watch in watches) < count:
                await asyncio.sleep(EVERY_S)
                for done in callers:
                    if done.done():
                        done.result()
            took_s = time.perf_counter() - began_s
            return {
                name: watch.figures(count, took_s) for name, watch in zip(("server", "worker"), watches, strict=True)
            }
    finally:
        for one in (worker, process):
            one.terminate()
            await one.wait()


async def _attach(session: aiohttp.ClientSession, url: str, batch: list[str]) -> None:
    async with session.post(url, json={"file_ids": batch}) as answer:
        answer.raise_for_status()
    batch.clear()


async def _until_ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()
