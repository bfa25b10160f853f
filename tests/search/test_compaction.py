"""A store that is edited for ever does not grow for ever, and nobody notices the tidying up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.core.types import Query, Removal
from penstock.search import edge as edge_module
from penstock.search.compaction import is_worthwhile
from penstock.search.manifest import read_manifest
from tests.search.search_material import CTX, edge, file_entries, rows


async def edited(index, times: int, chunks: int = 40) -> None:
    for version in range(times):
        name = f"{version:04d}"
        entries = file_entries("f", name, chunks, attributes={"year": float(version)})
        await index.write(entries, rows(chunks, version), [Removal(file_id="f", keep_version=name)], CTX)


def listed_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("live*/segments/*/mutable_id_tracker.mappings"))


async def test_compaction_keeps_every_chunk_and_drops_the_rest(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    await edited(index, 20)
    dump = await index.dump()
    before = listed_bytes(tmp_path / "vs")

    await index.compact()

    assert await index.dump() == dump
    assert listed_bytes(tmp_path / "vs") < before / 3
    assert read_manifest(tmp_path / "vs").segments == ("live-1",)
    assert not (tmp_path / "vs" / "live").exists()
    await edited(index, 1)
    await index.stop()
    again = edge(tmp_path / "vs")
    await again.start()
    assert await again.count() == 40
    await again.stop()


async def test_searches_and_writes_go_on_beside_it(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    await edited(index, 5)
    done = asyncio.Event()

    async def search() -> int:
        count = 0
        while not done.is_set():
            found = await index.search(Query(text="version", limit=50), rows(1)[0], CTX)
            assert len(found.hits) in (40, 41)
            assert len(await index.dump()) in (40, 41)
            count += 1
        return count

    searching = [asyncio.create_task(search()) for _ in range(3)]
    for number in range(6):
        await asyncio.gather(
            index.compact(), index.write(file_entries("g", "1", 1), rows(1, number), [], CTX), return_exceptions=False
        )
    done.set()
    assert all(await asyncio.gather(*searching))
    assert await index.count() == 41
    await index.stop()


async def test_it_comes_by_itself_when_most_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("penstock.search.compaction.TOLERATED_BYTES", 1_000)
    index = edge(tmp_path / "vs")
    await index.start()
    await edited(index, edge_module.LOOK_EVERY_WRITES)
    assert not is_worthwhile(tmp_path / "vs" / read_manifest(tmp_path / "vs").segments[-1], await index.count())
    assert read_manifest(tmp_path / "vs").segments != ("live",)
    await index.stop()


@pytest.mark.parametrize("left", ["live-1", "live-7"])
async def test_what_a_kill_left_of_a_copy_is_removed(tmp_path, left):
    index = edge(tmp_path / "vs")
    await index.start()
    await edited(index, 2)
    dump = await index.dump()
    await index.stop()
    (tmp_path / "vs" / left / "segments").mkdir(parents=True)
    await index.start()
    assert not (tmp_path / "vs" / left).exists()
    assert await index.dump() == dump
    await index.stop()
