"""What Penstock adds on the whole way from a client's socket to an engine's, and what coalescing is worth.

    python -m benchmarks.streaming [--streams 32 --token-ms 10] [--turns 8] [--repeats 3]
    python -m benchmarks.streaming --streams 1000 --token-ms 30 --turns 3

A fake engine (200 ms to the first token, then 32 tokens) and the load generator share a core, the server has the other.
In turn, at the same load: direct, through Penstock with tokens coalesced, with each token sent by itself, direct again.
The clients are raw asyncio; each answer is compared word by word with what the engine said.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
from pathlib import Path

import uvloop

from benchmarks.serving import Running, cores, fake_engine, penstock_server
from penstock.bench.fake_connection import WORDS
from penstock.bench.stream_client import Heard, chat_request, closed_loop, now_s

TOKENS = 32
PATH = "/v1/chat/completions"
SAID = " ".join(WORDS[number % len(WORDS)] for number in range(TOKENS))


class Side:
    """One way to the engine, and what was measured on it."""

    def __init__(self, name: str, running: Running) -> None:
        self.name = name
        self.running = running
        self.p50_ms: list[float] = []
        self.p99_ms: list[float] = []

    async def run(self, options: argparse.Namespace, *, turns: int) -> None:
        port = self.running.port
        body = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": "x " * 450}]}
        body |= {} if self.name.startswith("direct") else {"vector_store_ids": []}
        began_s, cpu_s = now_s(), self.running.cpu_s
        heard = await closed_loop(
            host="127.0.0.1",
            port=port,
            payload=chat_request(f"127.0.0.1:{port}", PATH, body),
            streams=options.streams,
            turns=turns,
            spread_s=0.2 + TOKENS * options.token_ms / 1000,
        )
        self._take(heard, now_s() - began_s, self.running.cpu_s - cpu_s)

    def _take(self, heard: list[Heard], took_s: float, cpu_s: float) -> None:
        cuts = statistics.quantiles([one.first_s * 1000 for one in heard], n=100)
        self.p50_ms.append(cuts[49])
        self.p99_ms.append(cuts[98])
        dropped = sum(1 for one in heard if one.error)
        wrong = sum(1 for one in heard if not one.error and one.text != SAID)
        pieces = sum(one.pieces for one in heard)
        gaps = statistics.quantiles([one.longest_gap_s * 1000 for one in heard], n=100)
        print(
            f"{self.name:17} first token p50 {cuts[49]:7.2f} p99 {cuts[98]:7.2f} ms  gap p50 {gaps[49]:.0f} ms  "
            f"dropped {dropped}  wrong {wrong}  {len(heard) / took_s:.0f} answers/s  {pieces / len(heard):.1f} events  "
            f"CPU {cpu_s / took_s:.2f} cores, {cpu_s / len(heard) * 1e6:.0f} µs an answer",
            flush=True,
        )


async def compare(options: argparse.Namespace, engine: Running, ours: Running, plain: Running) -> None:
    direct, again = Side("direct", engine), Side("direct again", engine)
    sides = [direct, Side("penstock", ours), Side("penstock, no tick", plain), again]
    for side in sides[1:3]:
        await side.run(options, turns=1)
        side.p50_ms.clear()
        side.p99_ms.clear()
    for _ in range(options.repeats):
        gc.collect()
        for side in sides:
            await side.run(options, turns=options.turns)
    for side in sides[1:3]:
        for name in ("p50_ms", "p99_ms"):
            pairs = zip(getattr(side, name), getattr(direct, name), getattr(again, name), strict=True)
            added = [with_us - (before + after) / 2 for with_us, before, after in pairs]
            print(
                f"{side.name} adds at {name[:3]}: {statistics.median(added):+.2f} ms, "
                f"{min(added):+.2f} to {max(added):+.2f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--token-ms", type=float, default=10.0)
    parser.add_argument("--turns", type=int, default=8, help="requests of each stream, one after another")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for_server, for_rest = cores()
    gc.disable()
    with (
        tempfile.TemporaryDirectory() as folder,
        fake_engine(on=for_rest, token_ms=options.token_ms) as engine,
        penstock_server(Path(folder) / "a", engine_port=engine.port, on=for_server) as ours,
        penstock_server(
            Path(folder) / "b", engine_port=engine.port, on=for_server, settings="[generate]\ntick_ms = 0"
        ) as plain,
    ):
        os.sched_setaffinity(0, for_rest)
        uvloop.run(compare(options, engine, ours, plain))


if __name__ == "__main__":
    main()
