"""Questions while documents are taken in: what each costs the other.

    python -m benchmarks.while_ingesting --data DIR [--rate 10] [--seconds 40] [--documents 40]

A server over DIR, which has a store. Three runs: questions alone; documents alone (uploaded over HTTP into a store of
their own, which is deleted afterwards); both. The bars: p99 of questions at most twice, documents at least 70 % as
fast. Then the same with `embed.documents_give_way` off, which is what that setting is worth.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import aiohttp
import uvloop

from penstock.bench.figures import Slo, figures
from penstock.bench.generator import Job
from penstock.bench.load import Load, Stream
from penstock.bench.plan import Target
from penstock.bench.questions import built_in
from penstock.bench.server import Address, Control, started
from penstock.bench.trial import generate

SLOWER, SLOWEST_INGESTION = 2.0, 0.7
PLAIN = "[embed]\ndocuments_give_way = false\n"
PARAGRAPHS = 60
WORDS = ("river", "water", "dam", "valley", "city", "century", "king", "trade", "harbour", "bridge", "law", "school")


async def asked(address: Address, store: str, rate: float, seconds: float) -> float:
    """The p99 of searches in milliseconds."""
    load = Load(streams=(Stream(rate=rate),), duration_s=seconds, warmup_s=1.0)
    target = Target(host=address.host, port=address.port, store=store, limit=10)
    found = figures(await generate(Job(load=load, questions=built_in(), target=target)), load, Slo())
    assert found.served.latency_ms is not None, "no question was answered"
    return found.served.latency_ms.p99


class Intake:
    """Documents over HTTP, into a store of their own; it and the files are deleted at the end."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._store = ""
        self._files: list[str] = []

    async def __aenter__(self) -> Self:
        self._store = (await self._call("POST", "vector_stores", json={"name": "while-ingesting"}))["id"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._call("DELETE", f"vector_stores/{self._store}")
        for file in self._files:
            await self._call("DELETE", f"files/{file}")

    async def take(self, documents: list[str]) -> float:
        """Documents a second, from the first upload to the last one completed."""
        began_s = time.perf_counter()
        files = []
        for number, text in enumerate(documents):
            form = aiohttp.FormData({"purpose": "assistants"})
            form.add_field("file", text.encode(), filename=f"{number}.txt")
            files.append((await self._call("POST", "files", data=form))["id"])
        self._files += files
        await self._call("POST", f"vector_stores/{self._store}/file_batches", json={"file_ids": files})
        while (await self._call("GET", f"vector_stores/{self._store}"))["status"] != "completed":  # noqa: ASYNC110 - a process is looked at
            await asyncio.sleep(0.1)
        return len(documents) / (time.perf_counter() - began_s)

    async def _call(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        async with self._session.request(method, path, **what) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found


def written(count: int, seed: int) -> list[str]:
    """Texts that nobody has seen, so that nothing is known of them already."""
    rng = random.Random(seed)  # noqa: S311 - texts, not secrets
    return [
        "\n\n".join(" ".join(rng.choices(WORDS, k=60)).capitalize() + "." for _ in range(PARAGRAPHS))
        for _ in range(count)
    ]


async def measured(options: argparse.Namespace, config: Path | None) -> bool:
    """Whether both bars are met."""
    # Written before anything is measured: it takes a core's time.
    rounds = [written(options.documents, number) for number in range(2 + round(options.seconds))]
    async with started(data=options.data, config=config, cores=()) as address:
        store = await Control(address=address).store("")
        await asked(address, store, options.rate, 3.0)
        idle_ms = await asked(address, store, options.rate, options.seconds)
        async with aiohttp.ClientSession(f"{address.url}/v1/") as session, Intake(session) as intake:
            await intake.take(rounds.pop())
            alone = await intake.take(rounds.pop())
            asking = asyncio.create_task(asked(address, store, options.rate, options.seconds), name="questions")
            together = []
            while not asking.done():
                together.append(await intake.take(rounds.pop()))
            beside_ms = await asking
    share = sum(together) / len(together) / alone
    print(f"questions at {options.rate}/s: p99 {idle_ms:.0f} ms alone, {beside_ms:.0f} ms beside documents")
    print(f"documents: {alone:.2f}/s alone, {alone * share:.2f}/s beside questions")
    print(
        f"{beside_ms / idle_ms:.2f} x the p99 (bar {SLOWER}), {share:.0%} of the rate (bar {SLOWEST_INGESTION:.0%})",
        flush=True,
    )
    return beside_ms <= SLOWER * idle_ms and share >= SLOWEST_INGESTION


async def run(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "penstock.toml"
        plain.write_text(PLAIN, encoding="utf-8")
        print("documents give way")
        is_met = await measured(options, None)
        print("documents take their share")
        await measured(options, plain)
    return 0 if is_met else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--documents", type=int, default=40)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
