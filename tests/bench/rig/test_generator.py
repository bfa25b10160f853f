"""The generator against a server that stands still: an open loop is charged for it, a closed loop hides it."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest
import uvloop

from penstock.bench.connection import Pool, now_s
from penstock.bench.figures import Figures, Slo, figures
from penstock.bench.flight import Flight
from penstock.bench.generator import Job
from penstock.bench.load import Load, Stream
from penstock.bench.plan import Shot, Target
from penstock.bench.questions import built_in
from penstock.bench.trial import generate
from penstock.core.errors import StageUnavailable
from tests.bench.rig.stalling import OK, Stalling, listening

STALL_S = 0.6
REFUSAL = b'{"error": {"code": "overloaded", "message": "later"}}'


async def measured(server: Stalling, stream: Stream, *, duration_s: float = 1.5, give_up_s: float = 30.0) -> Figures:
    load = Load(streams=(stream,), duration_s=duration_s, warmup_s=0.0)
    async with listening(server) as port:
        target = Target(host="127.0.0.1", port=port, store="s")
        samples = await generate(Job(load=load, questions=built_in(), target=target, give_up_s=give_up_s))
    return figures(samples, load, Slo(latency_ms=100))


async def test_a_stall_is_charged_to_every_request_that_came_due_meanwhile() -> None:
    """The same stall of 0.6 s, seen by an open loop of 100/s and by a closed loop of one caller."""
    opened, closed = Stalling(), Stalling()
    opened.stalls = closed.stalls = {50: STALL_S}

    both = await asyncio.gather(
        measured(opened, Stream(arrivals="constant", rate=100)), measured(closed, Stream(arrivals="closed", callers=1))
    )
    of_open, of_closed = (found.served for found in both)

    # About 60 of 150 came due while it stood still, and waited 300 ms on average; the closed loop met it once.
    assert of_open.offered == of_open.ok == 150
    assert of_open.latency_ms is not None
    assert of_closed.latency_ms is not None
    assert of_open.latency_ms.p95 > STALL_S * 1000 / 2
    assert of_open.good_share < 0.8
    assert of_closed.latency_ms.max > STALL_S * 1000
    assert of_closed.latency_ms.p95 < STALL_S * 1000 / 4
    assert of_closed.good_share > 0.95


async def test_refusals_and_their_advice_are_counted() -> None:
    server = Stalling(busy_s=0.0)
    refusal = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: %d\r\n%b\r\n%b"
    server.answers += [
        refusal % (len(REFUSAL), b"Retry-After: 2\r\n", REFUSAL),
        refusal % (len(REFUSAL), b"", REFUSAL),
    ]

    found = await measured(server, Stream(arrivals="constant", rate=60), duration_s=0.5)

    assert (found.served.ok, found.served.rejected) == (10, 20)
    (refused,) = found.refused
    assert (refused.code, refused.retry_after_integer, refused.retry_after_missing) == ("overloaded", 10, 10)
    assert found.stages_ms["embed"].p50 == 1.5
    assert found.alive_ms is not None


async def test_an_answer_that_never_comes_is_a_failure_and_ends() -> None:
    server = Stalling()
    server.stalls = {3: 30.0}

    found = await measured(server, Stream(arrivals="constant", rate=20), duration_s=0.5, give_up_s=0.4)

    assert found.served.ok == 3
    assert [(failed.status, failed.code, failed.count) for failed in found.failures] == [(0, "given up", 7)]


async def test_nobody_there_is_said_and_not_measured() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = Job(load=Load(streams=(Stream(),)), questions=built_in(), target=Target(host="127.0.0.1", port=port))

    with pytest.raises(StageUnavailable, match="Cannot connect"):
        await generate(job)


async def test_a_connection_that_the_server_closed_while_idle_costs_no_request() -> None:
    answered: list[Flight] = []
    serving: list[asyncio.Task[None] | None] = []

    async def one_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK % (b"content-length: 2\r\n", b"{}"))
        await reader.read(1)  # the second request comes, and is cut off
        writer.close()

    async with await asyncio.start_server(one_each, "127.0.0.1", 0) as listener:
        ended = asyncio.Semaphore(0)

        def on_end(flight: Flight) -> None:
            answered.append(flight)
            ended.release()

        pool = Pool(host="127.0.0.1", port=listener.sockets[0].getsockname()[1], most=4, on_end=on_end)
        shot = Shot(payload=b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", kind="search", stream=0)
        for _ in range(2):
            pool.dispatch(Flight(shot, due_s=now_s(), now_s=now_s()))
            await asyncio.wait_for(ended.acquire(), 5)
        await pool.close()
        await asyncio.gather(*(task for task in serving if task))

    assert [flight.end for flight in answered] == ["ok", "ok"]
    assert [flight.resent for flight in answered] == [False, True]


def test_many_samples_come_through_whole() -> None:
    """Under uvloop, as the command runs: a pipe cut such answers short."""

    async def flooded() -> int:
        load = Load(streams=(Stream(arrivals="constant", rate=60_000),), duration_s=0.5, warmup_s=0.0)
        async with listening(Stalling()) as port:
            target = Target(host="127.0.0.1", port=port, store="s")
            job = Job(load=load, questions=built_in(), target=target, give_up_s=0.2, connections=4, most_connections=4)
            return len(await generate(job))

    assert uvloop.run(flooded()) == 30_000


async def test_a_fault_of_the_generator_is_no_measurement() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock.bench.generator", stdin=-1, stdout=-1, stderr=-1
    )
    out, said = await process.communicate(b'{"load": 3}')

    assert process.returncode != 0
    assert out == b""
    assert b"ValidationError" in said
