"""SIGKILL at each write, sync, rename and unlink of a scripted run over catalog, queue and originals, and of the
recovery after it: what was acknowledged is there, and nothing is there in part.

strace kills the process exactly at its n-th such call. `PENSTOCK_CRASH_POINTS=3000` tries so many; the fewer tried in a
normal run are spread evenly over all there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.catalog.crash_script import Trial, operations

TRIALS = int(os.environ.get("PENSTOCK_CRASH_POINTS", "200"))
SEED = 20261126
CALLS = "pwrite64,write,fdatasync,fsync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,openat,mkdir"
ROOT = Path(__file__).resolve().parents[2]


class Parent:
    """The process that forks a child a trial."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.catalog.crash_script"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def fork(self, mode: str, folder: Path) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{mode} {folder}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, mode: str, folder: Path, *, kill_at: int | None, log: Path) -> bool:
        """Trace a child to its end; whether it was killed."""
        pid = self.fork(mode, folder)
        wait_for(lambda: state(pid) == "T")
        inject = [] if kill_at is None else ["-e", f"inject={CALLS}:signal=SIGKILL:when={kill_at}"]
        command = ["strace", "-f", "-p", str(pid), "-o", str(log), "-e", f"trace={CALLS}", *inject]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            assert "attached" in tracer.stderr.readline()
            os.kill(pid, signal.SIGCONT)
            try:
                tracer.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                tracer.kill()
                raise
        return "killed by SIGKILL" in log.read_text()


def state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def wait_for(condition: object) -> None:
    until_s = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until_s
        time.sleep(0.001)


@pytest.fixture
def parent() -> Iterator[Parent]:
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is missing: run scripts/install-test-tools")
        pytest.skip("strace is missing: scripts/install-test-tools installs it")
    parent = Parent()
    yield parent
    parent.stop()


def expected(folder: Path) -> list[str]:
    """What a reopened folder shows after each number of operations, had nothing disturbed them."""
    shown: list[str] = []

    async def script() -> None:
        live = folder / "live"
        live.mkdir()
        trial = Trial(live)
        await trial.open()
        for number, operation in enumerate([_nothing, *operations(trial)]):
            await operation()
            copy = folder / str(number)
            shutil.copytree(live, copy)
            reopened = Trial(copy)
            await reopened.reopen()
            shown.append(reopened.dump())
            shutil.rmtree(copy)
        await trial.database.stop()

    asyncio.run(script())
    return shown


async def _nothing() -> None:
    """Only opened."""


def acknowledged(folder: Path) -> int:
    """The number of the last operation that was; -1 when the folder was not even open."""
    lines = (folder / "acks").read_text().split()
    return int(lines[-1]) if lines else -1


@pytest.mark.timeout(3600)
def test_a_kill_at_any_call_loses_nothing_that_was_acknowledged(parent: Parent, tmp_path: Path) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    (tmp_path / "expected").mkdir()
    states = expected(tmp_path / "expected")
    whole = tmp_path / "whole"
    whole.mkdir()
    log = tmp_path / "strace"
    assert not parent.run("run", whole, kill_at=None, log=log)
    calls = int(0.88 * most_calls_of_a_thread(log.read_text()))  # the last are not made in every run
    assert calls > 300, "the script writes too little to be worth it"

    killed = killed_again = 0
    for number in range(TRIALS):
        folder = tmp_path / f"trial{number}"
        folder.mkdir()
        kill_at = 1 + (number * calls) // TRIALS if calls >= TRIALS else 1 + number % calls
        hit = parent.run("run", folder, kill_at=kill_at, log=log)
        killed += hit
        if number % 5 == 0:  # and its recovery too, perhaps more than once
            while dice.random() < 0.7:
                killed_again += parent.run("reopen", folder, kill_at=dice.randrange(1, 15), log=log)
        trial = Trial(folder)
        asyncio.run(trial.reopen())

        last = acknowledged(folder)
        allowed = {states[at] for at in (max(0, last), last + 1) if at < len(states)}
        assert trial.dump() in allowed, f"killed at call {kill_at}, after operation {last}"
        shutil.rmtree(folder)
    print(f"{killed} kills of {TRIALS} runs at {calls} calls, {killed_again} of recoveries")
    assert killed >= 0.85 * TRIALS


def most_calls_of_a_thread(log: str) -> int:
    """strace counts for each thread by itself."""
    counts: dict[str, int] = {}
    for line in log.splitlines():
        if (found := re.match(r"(\d+) +\w+\(", line)) and "resumed" not in line:
            counts[found[1]] = counts.get(found[1], 0) + 1
    return max(counts.values())
