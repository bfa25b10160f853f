"""Callers against a real socket, and commands that are real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.main_job.caller import BadReply, Caller, Request, Spell, alone, ask_all, together
from benchmarks.main_job.process import Failed, family, free_port, memory_of, run, serving
from benchmarks.main_job.speed import summary

HERE = Path(__file__).parent


@asynccontextmanager
async def echo(status: str = "200 OK") -> AsyncIterator[tuple[int, list[int]]]:
    """A server that sends every body back; and the number of requests of each of its connections."""
    connections: list[int] = []
    handling: list[asyncio.Task[None] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(connections)
        connections.append(0)
        handling.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
                body = await reader.readexactly(size)
                connections[place] += 1
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], connections
        await asyncio.gather(*(task for task in handling if task))


def numbered(count: int) -> list[Request]:
    return [Request("/", str(number).encode()) for number in range(count)]


async def test_answers_come_back_in_the_order_of_the_questions() -> None:
    async with echo() as (port, connections):
        assert await ask_all(port, numbered(50), callers=4) == list(range(50))
    assert len(connections) == 4
    assert sum(connections) == 50


async def test_one_connection_is_kept() -> None:
    async with echo() as (port, connections):
        spell = await alone(port, numbered(20))
    assert connections == [20]
    assert len(spell.latencies_ms) == 20
    assert spell.at(99) >= spell.at(50) > 0


async def test_a_closed_loop_ends_when_its_time_is_up() -> None:
    async with echo() as (port, connections):
        spell = await together(port, numbered(3), callers=8, seconds=0.1)
    assert len(connections) == 8
    assert sum(connections) == len(spell.latencies_ms) > 0
    assert spell.seconds >= 0.1


async def test_who_is_turned_away_is_counted_and_asks_again() -> None:
    async with echo("503 Service Unavailable") as (port, connections):
        spell = await together(port, numbered(3), callers=2, seconds=0.12)
    assert (spell.refused, spell.latencies_ms) == (sum(connections), [])
    assert spell.refused > 2


async def test_an_error_is_never_counted_as_an_answer() -> None:
    async with echo("503 Service Unavailable") as (port, _), Caller(port=port) as caller:
        with pytest.raises(BadReply, match=r"503.*hello"):
            await caller.call(Request("/", b"hello"))


def test_figures_of_several_rounds() -> None:
    figures = summary([Spell(1.0, [1.0, 2.0]), Spell(1.0, [3.0, 4.0, 5.0, 6.0]), Spell(2.0, [7.0, 8.0])])
    assert figures["requests"] == 8
    assert (figures["per_s"], figures["per_s_range"]) == (2.0, [1.0, 4.0])
    assert (figures["p50_ms"], figures["p50_ms_range"], figures["p99_ms"]) == (4.0, [1.0, 7.0], 8.0)


def test_a_command_is_timed_and_heard() -> None:
    ran = run([sys.executable, "-c", "print('done')"], env=os.environ, cwd=HERE)
    assert ran.said.strip() == "done"
    assert ran.seconds > 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_peak_is_seen_though_the_memory_was_given_back() -> None:
    code = "import time; a = bytearray(200_000_000); del a; time.sleep(0.3)"
    peak_mb = run([sys.executable, "-c", code], env=os.environ, cwd=HERE).peak_mb
    assert peak_mb is not None
    assert 200 < peak_mb < 300


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_and_family_of_a_process() -> None:
    memory = memory_of(os.getpid())
    assert memory is not None
    assert 0 < memory.private_mb <= memory.resident_mb <= memory.peak_mb + 1
    assert os.getpid() in family(os.getppid())


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(Failed, match="broken"):
        run([sys.executable, "-c", "raise SystemExit('broken')"], env=os.environ, cwd=HERE)


def test_a_server_is_waited_for_and_stopped(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import http.server as h, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('told to stop', flush=True)))\n"
        f"h.HTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    command = [sys.executable, "-c", code]
    log = tmp_path / "log"
    with serving(command, port=port, ready="/", env=os.environ, cwd=tmp_path, log=log, patience_s=30) as server:
        assert server.ready_s > 0
        assert Path(f"/proc/{server.pid}").exists() or not Path("/proc").exists()
    assert not Path(f"/proc/{server.pid}").exists()
    assert "told to stop" in log.read_text()


def test_a_server_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no port')"]
    with (
        pytest.raises(Failed, match="no port"),
        serving(
            command,
            port=free_port(),
            ready="/",
            env=os.environ,
            cwd=tmp_path,
            log=tmp_path / "log",
            patience_s=30,
        ),
    ):
        pass
