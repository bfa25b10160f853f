"""What the gateway costs: requests a second on one core, and milliseconds added to one request.

    python -m benchmarks.gateway [--seconds 5] [--connections 32] [--only search] [--json FILE]

The server (uvicorn, uvloop, httptools, our app) has a core of its own and the client another, and it wants an API key,
as `penstock serve` does. The pipeline is the real one; its encoder, index and engine cost nothing, because it is not
them that is measured. Where other work disturbs the machine, the figure per CPU second of the server is the one to
believe: what else runs hardly changes it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import uvloop

from penstock.catalog.database import Database
from penstock.catalog.keys import Keys, hash_of, read_secret
from penstock.config import Settings
from penstock.core.context import Context
from penstock.core.ports import TextKind
from penstock.core.types import (
    Chunk,
    Citation,
    Delta,
    Entry,
    FileStatus,
    Found,
    Hit,
    Outlook,
    Prompt,
    Query,
    Removal,
    Store,
    Tier,
    Vector,
    Vectors,
)
from penstock.embed.encoders import Encoders
from penstock.gateway.app import create_app
from penstock.gateway.keys import KeyAuthenticator
from penstock.gateway.readiness import Readiness
from penstock.gateway.serve import Server, bind, make_server
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.question import QuestionPipeline
from penstock.telemetry.metrics import Metrics

STORE = Store(id="vs_bench", tenant="default", name="bench", embedder="none", dimension=384, created_s=0.0)
TEXT = "The penstock carries water under pressure from the intake to the turbine. " * 6
HITS = tuple(
    Hit(
        store_id=STORE.id,
        file_id=f"file-{number}",
        filename=f"document-{number}.md",
        chunk=Chunk(id=f"chunk-{number}", position=number, text=TEXT, headings=("Handbook", "Waterways")),
        title="Waterways",
        score=0.9 - number / 20,
        attributes={"chapter": float(number), "language": "en"},
    )
    for number in range(5)
)
REQUESTS = {
    "search": ("/v1/vector_stores/vs_bench/search", {"query": "What carries water to the turbine?"}),
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "What carries water?"}]}),
    "stream": (
        "/v1/chat/completions",
        {"stream": True, "messages": [{"role": "user", "content": "What carries water?"}]},
    ),
}


class NoEmbedder:
    """Vectors at no cost."""

    model = "none"
    dimension = 384
    _vectors: Vectors = np.zeros((1, 384), dtype=np.float32)

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:  # noqa: ARG002
        return self._vectors


class NoIndex:
    """The same five hits for everything."""

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def search(self, query: Query, vector: Vector, ctx: Context) -> Found:  # noqa: ARG002
        return Found(hits=HITS)

    async def write(
        self, upserts: Sequence[Entry], vectors: Vectors, removals: Sequence[Removal], ctx: Context
    ) -> None: ...

    async def count(self) -> int:
        return len(HITS)

    async def holds(self, file_id: str, version: str) -> int:  # noqa: ARG002
        return 1

    async def files(self) -> set[str]:
        raise NotImplementedError

    async def entries_of(self, file_id: str) -> tuple[list[Entry], Vectors]:
        raise NotImplementedError

    async def embedded(self, hashes: Sequence[str]) -> None: ...


class Chosen(NamedTuple):
    """The engine, and why it."""

    generator: NoEngine
    reason: str
    alternatives: tuple[()] = ()


class NoEngine:
    """Three cited sentences at once, and the router that always takes it."""

    model = "none"

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:  # noqa: ARG002
        for number in range(3):
            cited = Citation(
                number=number + 1, index=30 * number, file_id="file", filename="document.md", chunk_id="chunk", end=74
            )
            yield Delta(text="Water under pressure. [1] ", citations=(cited,))
        yield Delta(finish="stop")

    def choose(self, model: str | None, prompt: Prompt, ctx: Context, tier: Tier = "asked") -> Chosen:  # noqa: ARG002
        return Chosen(self, "the only one")

    def outlook(self, model: str | None, prompt: Prompt, ctx: Context) -> Outlook:  # noqa: ARG002
        return Outlook()

    def models(self) -> Sequence[str]:
        return (self.model,)


class OneStore:
    """A catalog and ledger of one store."""

    async def get(self, tenant: str, identifier: str) -> Store:  # noqa: ARG002
        return STORE

    async def list(self, tenant: str | None) -> list[Store]:  # noqa: ARG002
        return [STORE]

    async def touch(self, store_id: str) -> None: ...

    async def counts(self, store_id: str) -> Mapping[FileStatus, int]:  # noqa: ARG002
        return {}

    async def usage_bytes(self, store_id: str) -> int:  # noqa: ARG002
        return 0


async def serve() -> None:
    """The process that is measured: prints its port and a key to it."""
    with tempfile.TemporaryDirectory() as folder:
        async with made(Path(folder)) as (server, token):
            sock = bind(host="127.0.0.1", port=0)
            print(sock.getsockname()[1], token, flush=True)
            await server.serve(sockets=[sock])


@asynccontextmanager
async def made(folder: Path) -> AsyncGenerator[tuple[Server, str]]:
    """The server, and a key that it takes."""
    metrics, readiness, settings, stores = Metrics(), Readiness(), Settings(), OneStore()
    questions = QuestionPipeline(
        encoders=Encoders(NoEmbedder()),
        indexes=IndexDirectory(open_index=lambda _: NoIndex()),
        router=NoEngine(),
        metrics=metrics,
        max_question_chars=settings.server.max_question_chars,
    )
    secret = read_secret(folder)
    database = Database(path=folder / "catalog.sqlite3")
    await database.start()
    keys = Keys(database=database)
    _, token = await keys.create(secret=secret)
    authenticator = KeyAuthenticator(keys=keys, hash_of=partial(hash_of, secret=secret))
    await authenticator.start()
    app = create_app(
        questions=questions,
        stores=stores,
        ledger=stores,
        metrics=metrics,
        settings=settings,
        readiness=readiness,
        authenticator=authenticator,
    )
    try:
        yield make_server(app=app, settings=settings.server, readiness=readiness), token
    finally:
        await authenticator.stop()
        await database.stop()


class Caller(asyncio.Protocol):
    """One connection that sends its request again as soon as the answer is whole."""

    def __init__(self, *, request: bytes, streamed: bool, until_s: float) -> None:
        self._request = request
        self._streamed = streamed
        self._until_s = until_s
        self._buffer = b""
        self._sent_s = 0.0
        self.latencies_s: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole():
            return
        assert self._buffer.startswith(b"HTTP/1.1 200"), self._buffer[:300]
        now_s = time.perf_counter()
        self.latencies_s.append(now_s - self._sent_s)
        if now_s < self._until_s:
            self._send()
        else:
            self._transport.close()
            self.done.set_result(None)

    def _send(self) -> None:
        self._buffer = b""
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)

    def _whole(self) -> bool:
        if self._streamed:
            return self._buffer.endswith(b"\r\n0\r\n\r\n")
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        start = head.index(b"content-length: ") + 16
        return len(body) >= int(head[start:].split(b"\r\n", 1)[0])


async def load(port: int, token: str, kind: str, connections: int, seconds: float) -> list[float]:
    """Latencies of all requests of a closed loop of `connections`."""
    path, body = REQUESTS[kind]
    payload = json.dumps(body).encode()
    request = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(payload)}\r\n\r\n"
    ).encode() + payload
    until_s = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    callers = [
        (
            await loop.create_connection(
                lambda: Caller(request=request, streamed=kind == "stream", until_s=until_s), "127.0.0.1", port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(caller.done for caller in callers))
    return [latency for caller in callers for latency in caller.latencies_s]


def measure(kind: str, connections: int, seconds: float, cores: list[int]) -> dict[str, float | int | str]:
    """One line of the table, on a server of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway", "--serve", str(cores[0])], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port, token = process.stdout.readline().split()
    uvloop.run(load(int(port), token, kind, connections, 1.0))  # warm
    before = cpu_seconds(process.pid)
    began_s = time.perf_counter()
    latencies_s = sorted(uvloop.run(load(int(port), token, kind, connections, seconds)))
    wall_s = time.perf_counter() - began_s
    cpu_s = cpu_seconds(process.pid) - before
    process.terminate()
    process.wait()
    return {
        "request": kind,
        "connections": connections,
        "per_second": round(len(latencies_s) / wall_s),
        "per_cpu_second": round(len(latencies_s) / cpu_s),
        "p50_ms": round(statistics.median(latencies_s) * 1000, 3),
        "p99_ms": round(latencies_s[int(len(latencies_s) * 0.99)] * 1000, 3),
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """The table, and JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", choices=REQUESTS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=int, metavar="CORE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        os.sched_setaffinity(0, {options.serve})
        uvloop.run(serve())
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[1:]))
    kinds = [options.only] if options.only else list(REQUESTS)
    lines = [measure(kind, many, options.seconds, cores) for kind in kinds for many in (1, options.connections)]
    print(f"{'request':8} {'at once':>7} {'per s':>8} {'per CPU s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for line in lines:
        print("{request:8} {connections:7} {per_second:8} {per_cpu_second:10} {p50_ms:8} {p99_ms:8}".format(**line))
    if options.json:
        machine = {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        }
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        options.json.write_text(
            json.dumps({"machine": machine, "server_peak_mb": round(peak_mb), "lines": lines}, indent=2)
        )


if __name__ == "__main__":
    main()
