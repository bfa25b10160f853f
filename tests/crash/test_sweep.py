"""Check 1: killed at its Nth write, sync, rename or unlink, a node loses nothing and shows nothing half done.

strace kills the process exactly at a system call. PENSTOCK_CRASHES says how many times, PENSTOCK_CRASH_STEPS how long
the script is.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.script import FILES, Node, steps, text_of

CRASHES = int(os.environ.get("PENSTOCK_CRASHES", "26"))
STEPS = int(os.environ.get("PENSTOCK_CRASH_STEPS", "4"))
SEED = int(os.environ.get("PENSTOCK_SEED", "20261126"))
CALLS = (
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "msync",
    "rename",
    "renameat",
    "unlink",
    "unlinkat",
    "ftruncate",
    "openat",
)
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None and os.environ.get("CI") != "true", reason="strace is not installed"
)


class Forker:
    """The process that forks runs, each under a strace of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.script"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def run(self, folder: Path, seed: int, count: int, *trace: str) -> list[list[str]]:
        """One run to its end, or its death. What it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        say, go = folder.with_suffix(".said"), folder.with_suffix(".go")
        say.unlink(missing_ok=True)
        go.unlink(missing_ok=True)
        self._process.stdin.write("\t".join(map(str, (folder, seed, count, say, go))) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        with subprocess.Popen(
            ["strace", "-f", *trace, "-p", str(pid)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as strace:
            assert strace.stderr is not None
            attached = strace.stderr.readline()
            assert b"attached" in attached, attached
            go.touch()
            strace.stderr.read()
        assert self._process.stdout.readline() == "ended\n"
        return [line.split() for line in say.read_text().splitlines()] if say.exists() else []

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(10)


@pytest.fixture
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


def calls_of_a_whole_run(forker: Forker, folder: Path) -> dict[str, int]:
    """How often each call is made, so that kills are spread over the whole run."""
    counts = folder.with_suffix(".calls")
    said = forker.run(folder, SEED, STEPS, "-e", f"trace={','.join(CALLS)}", "-o", str(counts))
    assert said[-1] == ["end"]
    lines = counts.read_text().splitlines()
    return {call: n for call in CALLS if (n := sum(f" {call}(" in line for line in lines))}


def promised(said: list[list[str]], before: dict[str, int]) -> tuple[dict[str, set[int]], set[str]]:
    """The versions that each file may have now (0: none), and the originals that must be there."""
    allowed = {file: {version} for file, version in before.items()}
    kept: set[str] = set()
    for words in said:
        if words[0] == "kept":
            kept.add(words[1])
        elif words[0] in ("begin", "done"):
            version = int(words[2])
            allowed[words[1]] = {version} if words[0] == "done" else allowed[words[1]] | {version}
    return allowed, kept


async def state_of(folder: Path, *, kept: set[str]) -> dict[str, int]:
    """The version of each file, after checking that it is there as a whole and that the ledger says the same."""
    node = Node(folder)
    await node.start()
    try:
        rows = {row.file_id: row for row in await node.ledger.all(node.store.id)}
        there: dict[str, int] = {f"f{n}": 0 for n in range(FILES)}
        for file in there:
            entries, _ = await node.index.entries_of(file)
            if not entries:
                continue
            assert len({entry.version for entry in entries}) == 1, f"{file}: two versions"
            whole = " ".join(entry.chunk.text for entry in entries)
            version = int(whole.split("version")[1].split(" ")[0])
            assert sorted(whole.split()) == sorted(text_of(file, version).split()), (
                f"{file}: not all of version {version}"
            )
            assert rows[file].version == entries[0].version, f"{file}: the ledger says another version"
            assert rows[file].chunks == len(entries)
            there[file] = version
        assert not [row for row in rows.values() if row.status == "indexing"]
        for sha256 in kept:
            assert hashlib.sha256(node.originals.read(sha256)).hexdigest() == sha256
        return there
    finally:
        await node.stop()


@needs_strace
@pytest.mark.timeout(3600)
async def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(forker: Forker, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    counts = calls_of_a_whole_run(forker, tmp_path / "whole")
    shutil.rmtree(tmp_path / "whole")
    began_s = time.monotonic()
    killed = recoveries = 0
    for trial in range(CRASHES):
        folder = tmp_path / f"t{trial}"
        call = list(counts)[trial % len(counts)]
        seed, before, kept = dice.randrange(2**31), dict.fromkeys((f"f{n}" for n in range(FILES)), 0), set()
        allowed = {file: {version} for file, version in before.items()}
        for round_ in range(1 + (trial % 3 == 0)):
            # The second round kills the recovery of the first, or the work after it.
            when = dice.randrange(1, counts[call] + 1) if not round_ else dice.randrange(1, 1 + counts[call] // 2 or 2)
            inject = f"inject={call}:signal=SIGKILL:when={when}"
            trace = ("-e", f"trace={call}", "-e", inject, "-o", "/dev/null")
            said = forker.run(folder, seed + round_, STEPS, *trace)
            new, more = promised(said, before) if not round_ else _after(allowed, said)
            allowed, kept = new, kept | more
            killed += not said or said[-1] != ["end"]
            recoveries += round_
        where = f"seed {SEED}, trial {trial}: {call} number {when}"
        try:
            there = await state_of(folder, kept=kept)
        except Exception as error:
            raise AssertionError(f"{where}: {error}") from error
        for file, version in there.items():
            assert version in allowed[file], f"{where}: {file} is at {version}, may be {allowed[file]}"
        shutil.rmtree(folder)
    took_s = time.monotonic() - began_s
    print(f"seed {SEED}: {killed} kills, {recoveries} of them again on the way back, at {counts}, {took_s:.0f} s")
    assert killed > CRASHES // 2


def _after(allowed: dict[str, set[int]], said: list[list[str]]) -> tuple[dict[str, set[int]], set[str]]:
    """What may be there after a second run on an uncertain state."""
    new, kept = promised(said, dict.fromkeys(allowed, 0))
    touched = {words[1] for words in said if words[0] in ("begin", "done")}
    finished = {words[1] for words in said if words[0] == "done"}
    return {
        file: allowed[file] if file not in touched else new[file] if file in finished else new[file] | allowed[file]
        for file in allowed
    }, kept


def test_the_script_does_all_that_a_node_does() -> None:
    done = list(steps(SEED, 200))
    assert {bool(step.version) for step in done} == {True, False}
    assert any(step.upload for step in done)
    assert len({step.file for step in done}) == FILES
