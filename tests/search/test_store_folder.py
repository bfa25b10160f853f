"""The folder of a store: another model, damage, a full disk; each a clear error, nothing lost, no crash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from penstock.config import SearchSettings
from penstock.core.errors import DataDamaged, DiskFull, Setup
from penstock.core.types import Query, Removal
from penstock.search.manifest import FORMAT, Manifest, read_manifest, write_manifest
from tests.search.search_material import CTX, edge, file_entries, rows


async def make(folder: Path, files: int = 3) -> list:
    index = edge(folder)
    await index.start()
    for i in range(files):
        await index.write(file_entries(f"f{i}", "1", 20), rows(20, i), [], CTX)
    dump = await index.dump()
    await index.stop()
    return dump


async def test_a_store_outlives_its_process_state(tmp_path):
    dump = await make(tmp_path / "vs")
    index = edge(tmp_path / "vs")
    await index.start()
    assert await index.dump() == dump
    assert len(dump) == 60
    await index.stop()


async def test_equal_contents_give_equal_dumps_in_whatever_order_they_came(tmp_path):
    dump = await make(tmp_path / "one")
    index = edge(tmp_path / "two")
    await index.start()
    await index.write(file_entries("extra", "1", 5), rows(5), [], CTX)
    for i in (2, 0, 1):
        await index.write(file_entries(f"f{i}", "1", 20), rows(20, i), [], CTX)
    assert await index.dump() != dump
    await index.write([], rows(0), [Removal(file_id="extra")], CTX)
    assert await index.dump() == dump
    await index.stop()


@pytest.mark.parametrize(("model", "dimension"), [("another", 32), ("m", 64)])
async def test_another_embedding_model_is_refused_with_both_names(tmp_path, model, dimension):
    await make(tmp_path / "vs", files=1)
    with pytest.raises(Setup, match="do not mix") as refused:
        await edge(tmp_path / "vs", model=model, dimension=dimension).start()
    assert not isinstance(refused.value, DataDamaged)
    assert f"'{model}' ({dimension})" in refused.value.message
    assert "'m' (32" in refused.value.message


async def test_settings_of_new_stores_leave_old_ones_as_they_are(tmp_path):
    dump = await make(tmp_path / "vs", files=1)
    changed = SearchSettings(vector_bits=8, language="german", min_free_bytes=1)
    index = edge(tmp_path / "vs", settings=changed)
    await index.start()
    assert await index.dump() == dump
    await index.stop()
    fresh = edge(tmp_path / "new", settings=changed)
    await fresh.start()
    await fresh.write(file_entries("f0", "1", 20), rows(20, 0), [], CTX)
    await fresh.stop()
    manifest = read_manifest(tmp_path / "new")
    assert (manifest.vector_bits, manifest.language) == (8, "german")


def test_the_manifest_is_replaced_whole(tmp_path):
    first = Manifest(model="m", dimension=3, vector_bits=16, mean_words=1.0, language="english")
    write_manifest(tmp_path, first)
    second = msgspec.structs.replace(first, segments=("sealed", "live"))
    write_manifest(tmp_path, second)
    assert read_manifest(tmp_path) == second
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert read_manifest(tmp_path / "nowhere") is None


def test_a_store_of_a_newer_program_is_refused_as_such(tmp_path):
    manifest = Manifest(format=FORMAT + 1, model="m", dimension=3, vector_bits=16, mean_words=1.0, language="english")
    write_manifest(tmp_path, manifest)
    with pytest.raises(Setup, match="newer Penstock"):
        read_manifest(tmp_path)


# --- damage -----------------------------------------------------------------------------

DAMAGES = {
    "manifest cut": lambda vs: truncate(vs / "manifest.json", 10),
    "manifest not json": lambda vs: (vs / "manifest.json").write_bytes(b"\xff\x00"),
    "manifest of another shape": lambda vs: (vs / "manifest.json").write_bytes(b'{"format": 3, "model": 3}'),
    "manifest missing": lambda vs: (vs / "manifest.json").unlink(),
    "segment missing": lambda vs: shutil.rmtree(vs / "live"),
    "shard configuration cut": lambda vs: truncate(vs / "live" / "edge_config.json", 10),
    "segment state cut": lambda vs: truncate(first(vs, "segments/*/segment.json"), 5),
    "segments are a file": lambda vs: (shutil.rmtree(vs / "live" / "segments"), (vs / "live" / "segments").touch()),
    "versions cut": lambda vs: truncate(first(vs, "segments/*/mutable_id_tracker.versions"), 3),
    "ids overwritten": lambda vs: overwrite(first(vs, "segments/*/mutable_id_tracker.mappings")),
}


def first(vs: Path, pattern: str) -> Path:
    return next((vs / "live").glob(pattern))


def truncate(file: Path, size: int) -> None:
    assert file.stat().st_size > size
    os.truncate(file, size)


def overwrite(file: Path) -> None:
    file.write_bytes(b"\xa5" * file.stat().st_size)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_folder_is_an_error_that_says_what_to_do(tmp_path, damage):
    await make(tmp_path / "vs", files=1)
    DAMAGES[damage](tmp_path / "vs")
    index = edge(tmp_path / "vs")
    with pytest.raises(DataDamaged, match="away and start again"):
        await index.start()


async def test_a_store_whose_making_was_interrupted_is_made_again(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    await index.stop()
    (tmp_path / "vs" / "manifest.json").unlink()  # a kill between the segment and the manifest
    (tmp_path / "vs" / "live.new").mkdir()
    assert len(await make(tmp_path / "vs")) == 60


HARMLESS = {
    "shard configuration missing": lambda vs: (vs / "live" / "edge_config.json").unlink(),
    "left over from making": lambda vs: (vs / "live.new").mkdir(),
    "left over from replacing the manifest": lambda vs: (vs / "manifest.json.new").write_bytes(b"{"),
}


@pytest.mark.parametrize("damage", HARMLESS)
async def test_damage_that_the_store_can_make_good_changes_nothing(tmp_path, damage):
    dump = await make(tmp_path / "vs", files=1)
    HARMLESS[damage](tmp_path / "vs")
    index = edge(tmp_path / "vs")
    await index.start()
    assert await index.dump() == dump
    await index.stop()


# --- room -------------------------------------------------------------------------------


async def test_a_full_disk_refuses_writes_keeps_searching_and_goes_on_when_there_is_room(tmp_path):
    room = [10**9]
    settings = SearchSettings(min_free_bytes=10**6)
    index = edge(tmp_path / "vs", settings=settings, room=lambda _: room[0])
    await index.start()
    await index.write(file_entries("f", "1", 3), rows(3), [], CTX)
    room[0] = 10**5
    with pytest.raises(DiskFull, match="Free some space"):
        await index.write(file_entries("g", "1", 3), rows(3), [], CTX)
    assert len((await index.search(Query(text="part"), rows(1)[0], CTX)).hits) == 3
    room[0] = 10**9
    await index.write(file_entries("g", "1", 3), rows(3), [], CTX)
    assert await index.count() == 6
    await index.stop()


FILL = """
import asyncio, sys
from pathlib import Path
from penstock.config import SearchSettings
from penstock.core.errors import DiskFull
from penstock.core.types import Query, Removal
from tests.search.search_material import CTX, edge, file_entries, rows

async def main(folder):
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(180 * 2**20))
    index = edge(folder / "vs", settings=SearchSettings())
    await index.start()
    done = 0
    try:
        for i in range(8000):
            await index.write(file_entries(f"f{i}", "1", 200), rows(200, i), [], CTX)
            done += 1
    except DiskFull:
        pass
    assert len((await index.search(Query(text="part"), rows(1)[0], CTX)).hits) == 10
    ballast.unlink()
    await index.write(file_entries("after", "1", 200), rows(200), [], CTX)
    assert await index.count() == 200 * (done + 1), (await index.count(), done)
    await index.stop()
    await index.start()
    assert await index.count() == 200 * (done + 1)
    print("fine", done)
    await index.stop()

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_disk_that_really_fills_up(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=420m", "none", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        filled = subprocess.run(
            [sys.executable, "-c", FILL, str(tmp_path)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert filled.stdout.startswith("fine"), (filled.returncode, filled.stderr[-2000:])
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
