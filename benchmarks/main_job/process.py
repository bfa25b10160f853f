"""Running what is measured: commands with their time and peak memory, servers with their start and memory."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.main_job.caller import BadReply, Caller

LOOK_EVERY_S = 0.2
MB = 1e6


class Failed(Exception):
    """A command that is measured did not do its work; the message ends with what it said."""


class Ran(msgspec.Struct, frozen=True):
    """A command that ended well."""

    seconds: float
    peak_mb: float | None
    """Of it and its children together, proportional shares not taken apart; None where it cannot be told."""
    said: str


class Memory(msgspec.Struct, frozen=True):
    """Of a running process. `resident` counts mapped files that are in memory; `private` does not."""

    resident_mb: float
    private_mb: float
    peak_mb: float


def run(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, allowed: tuple[int, ...] = (0,)) -> Ran:
    """Run to the end, watching memory. Raises Failed."""
    began_s = time.perf_counter()
    process = subprocess.Popen(
        command, env=dict(env), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = Peak(process.pid)
    with peak:
        said, _ = process.communicate()
    seconds = time.perf_counter() - began_s
    if process.returncode not in allowed:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{said[-2000:]}")
    return Ran(seconds, peak.mb, said)


class Peak:
    """Watches a process and its children from a thread; the highest sum seen, not less than its own high-water mark."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._highest_kb = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch-memory")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def mb(self) -> float | None:
        return self._highest_kb * 1024 / MB or None

    def _watch(self) -> None:
        while not self._done.wait(LOOK_EVERY_S):
            own = _status(self._pid)
            total_kb = sum(_status(pid).get("VmRSS", 0) for pid in family(self._pid))
            self._highest_kb = max(self._highest_kb, total_kb, own.get("VmHWM", 0))


def memory_of(pid: int) -> Memory | None:
    """None where there is no /proc."""
    status = _status(pid)
    if not status:
        return None
    return Memory(
        resident_mb=status["VmRSS"] * 1024 / MB,
        private_mb=status.get("RssAnon", 0) * 1024 / MB,
        peak_mb=status["VmHWM"] * 1024 / MB,
    )


def family(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for member in found:
        for file in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                found += [int(child) for child in file.read_text(encoding="ascii").split()]
            except OSError:
                continue  # a thread that has just ended
    return found


def _status(pid: int) -> dict[str, int]:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}  # ended, or a system without /proc
    pairs = (line.split(":", 1) for line in text.splitlines() if line.endswith(" kB"))
    return {name: int(value.split()[0]) for name, value in pairs}


class Server(msgspec.Struct, frozen=True):
    """A server that answers."""

    pid: int
    port: int
    ready_s: float


@contextmanager
def serving(
    command: Sequence[str], *, port: int, ready: str, env: Mapping[str, str], cwd: Path, log: Path, patience_s: float
) -> Iterator[Server]:
    """Start it, wait until GET `ready` is answered with 200, stop it at the end. Raises Failed."""
    began_s = time.perf_counter()
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(command, env=dict(env), cwd=cwd, stdout=said, stderr=subprocess.STDOUT)
        try:
            while not asyncio.run(_answers(port, ready)):
                if process.poll() is not None or time.perf_counter() - began_s > patience_s:
                    raise Failed(f"{' '.join(command)} did not come up:\n{log.read_text(encoding='utf-8')[-2000:]}")
                time.sleep(0.01)
            yield Server(process.pid, port, time.perf_counter() - began_s)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _answers(port: int, path: str) -> bool:
    try:
        async with asyncio.timeout(1), Caller(port=port) as caller:
            await caller.get(path)
    except (OSError, BadReply, asyncio.IncompleteReadError, TimeoutError):
        return False
    return True


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """Ours, without the variables that are for the measuring and not for what is measured."""
    ours = ("PENSTOCK_DATA", "PENSTOCK_BENCH_VENV")
    return {name: value for name, value in os.environ.items() if name not in ours}
