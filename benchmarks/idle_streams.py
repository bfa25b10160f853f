"""Check 16: thousands of streams that have nothing to say, and what they cost those that have.

    python -m benchmarks.idle_streams [--streams 9000] [--minutes 10] [--stop-s 10]

Each stream gets one token and then silence. Measured: memory of the server per stream, dropped streams, heartbeats, the
time of a small request before and meanwhile, and how long all take to end after SIGTERM. Exits 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.serving import Running, cores, fake_engine, penstock_server
from penstock.bench.stream_client import chat_request

HEARTBEAT_S = 15
SETTINGS = f"""
[server]
max_timeout_s = 7200
heartbeat_s = {HEARTBEAT_S}
shutdown_timeout_s = 3
[generate]
tick_ms = 10
"""
ENGINE = "between_tokens_timeout_s = 7200\n"
PROBES = 200


class Idle(asyncio.Protocol):
    """One silent stream, watched."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.beats = 0
        self.has_begun = self.has_ended = self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.has_begun = True
        self.beats += data.count(b": still here")
        # Cut by the stop: an error that says when to come back, and a proper end of the body.
        self.has_ended = self.has_ended or b"event: error" in data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.is_lost = True


async def probe(port: int) -> list[float]:
    """Milliseconds of small requests, one after another on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    for _ in range(PROBES):
        began_s = time.perf_counter()
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        await reader.readuntil(b"}")
        times.append((time.perf_counter() - began_s) * 1000)
        await asyncio.sleep(0.02)
    writer.close()
    return times


async def _until(holds: Callable[[], bool], *, within_s: float) -> None:
    until_s = time.monotonic() + within_s
    while not holds() and time.monotonic() < until_s:  # noqa: ASYNC110 - of thousands of connections, not one event
        await asyncio.sleep(0.05)


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


async def run(options: argparse.Namespace, server: Running) -> bool:
    loop = asyncio.get_running_loop()
    body = {"model": "fake", "stream": True, "timeout": 7200, "vector_store_ids": []}
    messages = {"messages": [{"role": "user", "content": "Wait."}]}
    request = chat_request("127.0.0.1", "/v1/chat/completions", {**body, **messages})
    before_ms = await probe(server.port)
    before_bytes = server.rss_bytes
    streams: list[Idle] = []
    for place in range(options.streams):
        source = (f"127.0.{place // 5000}.{1 + place % 4}", 0)
        _, one = await loop.create_connection(lambda: Idle(request), "127.0.0.1", server.port, local_addr=source)
        streams.append(one)
        if place % 100 == 99:
            await asyncio.sleep(0.05)
    await _until(lambda: all(one.has_begun for one in streams), within_s=60)
    kb = (server.rss_bytes - before_bytes) / 1000 / options.streams
    print(f"{sum(one.has_begun for one in streams)} streams have begun; {kb:.1f} kB each", flush=True)
    ends_s = time.monotonic() + options.minutes * 60
    during_ms: list[float] = []
    while time.monotonic() < ends_s:
        during_ms += await probe(server.port)
    dropped = sum(one.is_lost for one in streams)
    due = options.minutes * 60 // HEARTBEAT_S - 1
    silent = sum(one.beats < due for one in streams)
    os.kill(server.pid, signal.SIGTERM)
    stopped_s = time.monotonic()
    await _until(lambda: all(one.is_lost for one in streams), within_s=30)
    took_s = time.monotonic() - stopped_s
    unclean = sum(not one.has_ended for one in streams)
    ratio = p99(during_ms) / p99(before_ms)
    bars = [
        (f"dropped {dropped}", dropped == 0),
        (f"{kb:.1f} kB a stream (bar 40)", kb <= 40),
        (f"streams with fewer than {due:.0f} heartbeats: {silent}", silent == 0),
        (f"a small request p99 {p99(before_ms):.1f} -> {p99(during_ms):.1f} ms, {ratio:.2f} times (1.3)", ratio <= 1.3),
        (f"longest small request {max(during_ms):.0f} ms", True),
        (f"all closed {took_s:.1f} s after SIGTERM (bar {options.stop_s})", took_s <= options.stop_s),
        (f"ended without an event that says so: {unclean}", unclean == 0),
    ]
    for text, met in bars:
        print(("met     " if met else "MISSED  ") + text)
    return all(met for _, met in bars)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=9000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--stop-s", type=float, default=10.0)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for_server, for_rest = cores()
    with (
        tempfile.TemporaryDirectory() as folder,
        fake_engine(on=for_rest, token_ms=7_200_000) as engine,
        penstock_server(
            Path(folder), engine_port=engine.port, on=for_server, settings=SETTINGS, engine_settings=ENGINE
        ) as server,
    ):
        return 0 if uvloop.run(run(options, server)) else 1


if __name__ == "__main__":
    sys.exit(main())
