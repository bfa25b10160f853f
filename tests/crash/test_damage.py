"""Check 4: flipped bits, cut files, a full disk, a failing sync: found or harmless, and never a wrong answer.

PENSTOCK_FLIPS and PENSTOCK_CUTS say how many of each.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from penstock.core.errors import DiskFull
from penstock.core.types import Query
from tests.crash.script import Node
from tests.crash.test_sweep import Forker, forker, needs_strace  # noqa: F401 - a fixture
from tests.hashing import HashingEmbedder

FLIPS = int(os.environ.get("PENSTOCK_FLIPS", "24"))
CUTS = int(os.environ.get("PENSTOCK_CUTS", "6"))
SEED = int(os.environ.get("PENSTOCK_SEED", "20261126"))
FILES = 8


class Asker:
    """A process that forks another for each node that is asked: damage may kill who looks at it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.asking"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def ask(self, folder: Path) -> str:
        """`answers` with a hash of them and one of their order, `found` where the node says so, or how it `died`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(10)


async def made(folder: Path) -> None:
    node = Node(folder)
    await node.start()
    for number in range(FILES):
        await node.ingest(f"f{number}", number)
    kept = [node.keep(random.Random(number).randbytes(3_000)) for number in range(3)]
    await node.stop()
    assert len(kept) == 3


def data_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and path.name != "lock")


def flip(path: Path, dice: random.Random) -> int:
    """A bit among those that are not in a hole, or in the middle of a long run of zeros."""
    content = np.fromfile(path, np.uint8)
    written = np.flatnonzero(content)
    place = int(written[dice.randrange(len(written))]) if len(written) else dice.randrange(len(content))
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([content[place] ^ (1 << dice.randrange(8))]))
    return place


def cut(path: Path, dice: random.Random) -> int:
    size = dice.randrange(path.stat().st_size)
    os.truncate(path, size)
    return size


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", "--sparse=always", source, target], check=True)


@pytest.fixture
def asker() -> Iterator[Asker]:
    asker = Asker()
    yield asker
    asker.close()


@pytest.mark.parametrize("died", [False, True], ids=["closed", "died"])
async def test_damage_is_found_or_does_no_harm(tmp_path: Path, asker: Asker, *, died: bool) -> None:
    dice = random.Random(SEED)
    await made(tmp_path / "whole")
    expected = asker.ask(tmp_path / "whole")
    assert expected.startswith("answers"), expected
    if died:
        # A process that died has left no sums: what is damaged is found passage by passage.
        for name in ("catalog.db.sum", "stores/s/at-rest.json"):
            (tmp_path / "whole" / name).unlink()
    copy(tmp_path / "whole", tmp_path / "same")
    assert asker.ask(tmp_path / "same") == expected, "a copy that is not damaged answers"
    wrong: list[str] = []
    found = harmless = reordered = died_trials = 0
    for trial in range(FLIPS + CUTS):
        folder = tmp_path / "damaged"
        copy(tmp_path / "whole", folder)
        files = data_files(folder)
        path = dice.choice(files)
        name = path.relative_to(folder)
        place = flip(path, dice) if trial < FLIPS else cut(path, dice)
        ended = asker.ask(folder)
        if ended.startswith("died"):
            # It cannot be caught, but the next start knows, and says so.
            again = asker.ask(folder)
            assert again == "found", f"trial {trial}: {name} at {place}: {ended}, then {again}"
            ended, died_trials = "found", died_trials + 1
        found, harmless = found + (ended == "found"), harmless + (ended == expected)
        if died and ended != expected and ended.split()[:2] == expected.split()[:2]:
            # What scores are made of has no checksum until the store is closed: they may be others, the texts may not.
            reordered += 1
        elif ended not in ("found", expected):
            wrong.append(f"trial {trial}: {name} at {place}: {ended}")
        shutil.rmtree(folder)
    print(
        f"seed {SEED}: {found} found, {died_trials} of them killed, {harmless} harmless, {reordered} with other "
        f"scores, {len(wrong)} wrong"
    )
    assert not wrong, "\n".join(wrong)
    assert reordered <= 0.05 * (FLIPS + CUTS)
    assert found > 0


async def test_a_passage_whose_vector_is_marked_as_deleted_is_found(tmp_path: Path, asker: Asker) -> None:
    await made(tmp_path / "whole")
    (tmp_path / "whole" / "stores/s/at-rest.json").unlink()
    (flags,) = (tmp_path / "whole").rglob("vector_storage-meaning/deleted/flags_a.dat")
    content = bytearray(flags.read_bytes())
    content[2] ^= 1
    flags.write_bytes(content)

    assert asker.ask(tmp_path / "whole") == "found"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with 400 MB, which needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_refuses_keeps_answering_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    node = Node(small_disk / "node", min_free_bytes=2**24)
    await node.start()
    accepted: dict[str, bytes] = {}
    for number in range(2):
        await node.ingest(f"f{number}", number + 1)
    before = await node.index.dump()
    ballast = small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(bytes(free - 2**23))

    refused = 0
    for number in range(20):
        try:
            content = random.Random(number).randbytes(50_000)
            accepted[node.keep(content)] = content
        except DiskFull:
            refused += 1
    with pytest.raises(DiskFull, match="Free some space"):
        await node.ingest("f3", 4)
    assert refused
    assert await node.index.dump() == before
    vector = (await HashingEmbedder().embed(["words"], node.ctx))[0]
    assert (await node.index.search(Query(text="words"), vector, node.ctx)).hits

    ballast.unlink()
    await node.ingest("f3", 4)  # the same process, at once
    entries, _ = await node.index.entries_of("f3")
    assert entries
    for sha256, content in accepted.items():
        assert node.originals.read(sha256) == content
        assert hashlib.sha256(content).hexdigest() == sha256
    await node.stop()
    again = Node(small_disk / "node", min_free_bytes=2**24)
    await again.start()
    assert {row.status for row in await again.ledger.all(again.store.id)} <= {"completed", "queued"}
    await again.stop()


@needs_strace
@pytest.mark.parametrize(("call", "first"), [("fsync", 80), ("fdatasync", 12), ("msync", 250)])
async def test_what_could_not_be_synced_is_not_acknowledged(
    tmp_path: Path,
    forker: Forker,  # noqa: F811 - the fixture
    call: str,
    first: int,
) -> None:
    """From its nth on, each of these calls fails: whatever was said to be done before that is there afterwards."""
    folder = tmp_path / "node"
    inject = f"inject={call}:error=EIO:when={first}+"
    said = forker.run(folder, SEED, 12, "-e", f"trace={call}", "-e", inject, "-o", "/dev/null")
    assert ["end"] not in said, "the run goes on though nothing can be synced"
    done = {words[1]: int(words[2]) for words in said if words[0] == "done"}
    begun = [(words[1], int(words[2])) for words in said if words[0] == "begin"][-1:]
    node = Node(folder)
    await node.start()
    for file, version in done.items():
        entries, _ = await node.index.entries_of(file)
        text = " ".join(entry.chunk.text for entry in entries)
        there = int(text.split("version")[1].split(" ")[0]) if text else 0
        assert there in {version, *(v for name, v in begun if name == file)}
    await node.stop()
