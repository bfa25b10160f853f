"""kill -9 at any moment: what was acknowledged is there, and no write is there in part.

A child writes versions of a few files, one write after another, and prints each one that was
acknowledged; it is killed at a random moment. The parent opens the store and compares.
"""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.core.types import Query
from tests.search.search_material import CTX, edge, rows

CHUNKS = 150
FILES = 3

CHILD = """
import asyncio, sys
from pathlib import Path
from penstock.core.types import Removal
from tests.search.search_material import CTX, edge, file_entries, rows

async def main(folder, first):
    index = edge(Path(folder))
    await index.start()
    print("open", flush=True)
    for version in range(first, first + 500):
        file, name = f"f{version % FILES}", f"{version:06d}"
        print("begin", file, name, flush=True)
        await index.write(
            file_entries(file, name, CHUNKS), rows(CHUNKS, version), [Removal(file_id=file, keep_version=name)], CTX
        )
        print("done", file, name, flush=True)

FILES, CHUNKS = int(sys.argv[3]), int(sys.argv[4])
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def run_and_kill(folder: Path, first: int, *, after_lines: int, then_s: float) -> list[list[str]]:
    """Everything the child said before it died."""
    command = [sys.executable, "-c", CHILD, str(folder), str(first), str(FILES), str(CHUNKS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as child:
        assert child.stdout is not None
        said = []
        for line in child.stdout:
            said.append(line.split())
            if len(said) > after_lines:
                break
        try:
            child.wait(then_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        return said + [line.split() for line in child.stdout.read().splitlines()]


@pytest.mark.parametrize("seed", range(2))
async def test_acknowledged_writes_survive_and_none_is_half_there(tmp_path, seed):
    dice = random.Random(seed)
    folder, version = tmp_path / "vs", 0
    acknowledged: dict[str, str] = {}
    for _ in range(4):
        said = run_and_kill(folder, version, after_lines=dice.randrange(12), then_s=dice.random() * 0.1)
        begun = [words[1:] for words in said if words[0] == "begin"]
        acknowledged |= {words[1]: words[2] for words in said if words[0] == "done"}
        version += len(begun) + 1
        index = edge(folder)
        await index.start()
        lines = await index.dump()
        found = await index.search(Query(text="version", limit=1000), rows(1)[0], CTX)
        await index.stop()
        there: dict[str, list[str]] = {}
        for line in lines:
            there.setdefault(line.file_id, []).append(line.version)
        for file, versions in there.items():
            assert len(set(versions)) == 1, f"{file}: two versions, seed {seed}"
            assert len(versions) == CHUNKS, f"{file}: {len(versions)} chunks, seed {seed}"
            last = [name for name_of, name in begun if name_of == file][-1:]
            assert versions[0] in {acknowledged.get(file), *last}, f"seed {seed}"
        assert set(acknowledged) <= set(there), f"seed {seed}"
        assert len(found.hits) == len(lines)
        acknowledged |= {file: versions[0] for file, versions in there.items()}
