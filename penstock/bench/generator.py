"""The load generator, a process of its own: `python -m penstock.bench.generator` reads a job, writes samples.

It never waits for an answer before it sends what is due (open loop), so a server that stalls is charged with every
request that came due meanwhile. It keeps account of its own lateness: where that is not small, the machine under the
generator was measured, and not the server.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import uvloop

from penstock.bench.connection import Pool, now_s
from penstock.bench.flight import Flight
from penstock.bench.load import Load, Stream
from penstock.bench.plan import Plan, Shot, Target, plan
from penstock.bench.questions import Questions
from penstock.bench.samples import Recorder, Samples, pack

LEAD_S = 0.1
"""From the end of the preparations to the run's zero."""
PROBE_S = 0.1
EARLY_S = 0.0005
"""Timers tick in milliseconds: what is due within half of one goes out now."""
SPARE_FILES = 64


class Job(msgspec.Struct, frozen=True):
    """One run. `cores` empty: wherever the system puts it. `give_up_s`: an answer later than this is none."""

    load: Load
    questions: Questions
    target: Target
    give_up_s: float = 30.0
    connections: int = 64
    most_connections: int = 8_192
    cores: tuple[int, ...] = ()


class Generator:
    """Sends a plan, once."""

    def __init__(self, *, job: Job, planned: Plan) -> None:
        self._job = job
        self._plan = planned
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._callers: dict[int, tuple[Iterator[Shot], float]] = {}
        self._zero_s = 0.0
        target = job.target
        most = min(job.most_connections, _files_allowed() - SPARE_FILES)
        self._pool = Pool(host=target.host, port=target.port, most=most, on_end=self._ended)
        self._prober = Pool(host=target.host, port=target.port, most=2, on_end=self._probed)

    async def run(self) -> Samples:
        """Raises OSError when nothing listens there."""
        asyncio.get_running_loop().set_exception_handler(_break_off)
        await self._pool.warm(min(self._job.connections, 1 + len(self._plan.shots)))
        self._zero_s = now_s() + LEAD_S
        self._recorder = Recorder(began_s=self._zero_s)
        ending = asyncio.create_task(self._watch(), name="bench watch")
        cpu_s = _cpu_s()
        for stream, shots in self._plan.closed:
            self._begin_closed(stream, shots)
        await self._send_open()
        await _until(self._zero_s + self._job.load.total_s if self._callers else 0.0)
        self._callers.clear()
        cpu_share = (_cpu_s() - cpu_s) / max(now_s() - self._zero_s, 1e-9)
        while self._in_flight:
            self._idle.clear()
            await self._idle.wait()
        ending.cancel()
        await self._pool.close()
        await self._prober.close()
        return self._recorder.samples(most_connections=self._pool.most_open, cpu_share=cpu_share)

    async def _send_open(self) -> None:
        place, shots, due_s = 0, self._plan.shots, (self._plan.due_s + self._zero_s).tolist()
        while place < len(shots):
            moment_s = now_s()
            while place < len(shots) and due_s[place] <= moment_s + EARLY_S:
                self._dispatch(shots[place], due_s[place])
                place += 1
            if place < len(shots):
                # Even when behind, answers are read between sends: else they would look late too.
                await asyncio.sleep(max(0.0, due_s[place] - now_s()))

    def _dispatch(self, shot: Shot, due_s: float) -> None:
        self._in_flight += 1
        self._pool.dispatch(Flight(shot, due_s=due_s, now_s=now_s()))

    def _ended(self, flight: Flight) -> None:
        self._recorder.add(flight)
        self._in_flight -= 1
        self._call_again(flight.shot.stream, refused=flight.end != "ok")
        if not self._in_flight:
            self._idle.set()

    # --- closed loops ---------------------------------------------------------

    def _begin_closed(self, stream: Stream, shots: Iterator[Shot]) -> None:
        total_s = self._job.load.total_s
        stop_s = self._zero_s + min(stream.stop_s or total_s, total_s)
        place = self._job.load.streams.index(stream)
        self._callers[place] = (shots, stop_s)
        loop = asyncio.get_running_loop()
        for _ in range(stream.callers):
            loop.call_later(max(0.0, self._zero_s + stream.start_s - now_s()), self._call_again, place)

    def _call_again(self, stream: int, *, refused: bool = False) -> None:
        if stream not in self._callers:
            return
        if refused:  # a caller who was refused and does not pause at all would only measure refusals
            asyncio.get_running_loop().call_later(0.05, self._call_again, stream)
            return
        shots, stop_s = self._callers[stream]
        moment_s = now_s()
        if moment_s < stop_s:
            self._dispatch(next(shots), moment_s)

    # --- beside the load --------------------------------------------------------

    async def _watch(self) -> None:
        """Ask whether the server is alive, and give up on what takes too long."""
        target = self._job.target
        payload = f"GET /healthz HTTP/1.1\r\nhost: {target.host}:{target.port}\r\n\r\n".encode()
        probe = Shot(payload=payload, kind="search", stream=-1)
        await _until(self._zero_s)
        while True:
            self._prober.dispatch(Flight(probe, due_s=now_s(), now_s=now_s()))
            self._pool.give_up(now_s() - self._job.give_up_s)
            self._prober.give_up(now_s() - self._job.give_up_s)
            await asyncio.sleep(PROBE_S)

    def _probed(self, flight: Flight) -> None:
        self._recorder.add_probe(flight)


def _break_off(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A fault of the generator's own must not pass for an answer that never came."""
    loop.default_exception_handler(context)
    loop.stop()


async def _until(moment_s: float) -> None:
    await asyncio.sleep(max(0.0, moment_s - now_s()))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _files_allowed() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(hard, 1_000_000) if hard > 0 else soft


def main() -> int:
    """Job as JSON on standard input, samples as MessagePack on standard output. 1: the server is not there."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    if job.cores:
        os.sched_setaffinity(0, set(job.cores))
    planned = plan(job.load, job.questions, job.target)
    # A collection in the middle of a run would make answers look late; nothing here makes cycles in numbers.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        samples = uvloop.run(Generator(job=job, planned=planned).run())
    except OSError as error:
        sys.stderr.write(f"Cannot connect to {job.target.host}:{job.target.port}: {error.strerror or error}\n")
        return 1
    sys.stdout.buffer.write(pack(samples))
    return 0


if __name__ == "__main__":
    sys.exit(main())
