"""No search sees half a write: never a file's old and new version together, never neither, never a part."""

import asyncio
import threading

from penstock.core.types import Query, Removal
from penstock.search.gate import Gate
from tests.search.search_material import CTX, edge, file_entries, rows

CHUNKS = 100  # more than go in at once (live.STAGE_AT_ONCE), so that a write has a middle


async def test_readers_see_one_version_of_a_file_whole_while_it_is_replaced(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    vectors = rows(CHUNKS)
    await index.write(file_entries("f", "0", CHUNKS) + file_entries("other", "0", 5), rows(CHUNKS + 5), [], CTX)
    finished, seen = asyncio.Event(), []

    async def read() -> None:
        while not finished.is_set():
            found = await index.search(Query(text="f version part", limit=3 * CHUNKS), vectors[0], CTX)
            ours = [hit.chunk.id.split(":")[1] for hit in found.hits if hit.file_id == "f"]
            seen.append((sorted(set(ours)), len(ours)))

    readers = [asyncio.create_task(read()) for _ in range(3)]
    for version in range(1, 16):
        name = str(version)
        await index.write(file_entries("f", name, CHUNKS), vectors, [Removal(file_id="f", keep_version=name)], CTX)
    finished.set()
    await asyncio.gather(*readers)
    await index.stop()
    wrong = [each for each in seen if each[1] != CHUNKS or len(each[0]) != 1]
    assert not wrong, wrong[:3]
    assert len({each[0][0] for each in seen}) > 3, "the readers must have met several versions"


async def test_writes_that_come_together_all_land_and_one_bad_one_harms_no_other(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    good = [index.write(file_entries(f"f{i}", "1", 3), rows(3), [], CTX) for i in range(10)]
    bad_entry = file_entries("bad", "1", 1)
    bad = index.write(bad_entry, rows(1) * float("nan"), [], CTX)
    results = await asyncio.gather(*good[:5], bad, *good[5:], return_exceptions=True)
    assert isinstance(results.pop(5), ValueError)
    assert results == [None] * 10
    assert {line.file_id for line in await index.dump()} == {f"f{i}" for i in range(10)}
    await index.stop()


async def test_a_caller_that_leaves_does_not_stop_its_write_or_its_neighbours(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    leaving = asyncio.create_task(index.write(file_entries("gone", "1", 3), rows(3), [], CTX))
    staying = asyncio.create_task(index.write(file_entries("here", "1", 3), rows(3), [], CTX))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    await index.stop()  # waits for what was accepted
    await index.start()
    assert {line.file_id for line in await index.dump()} == {"gone", "here"}
    await index.stop()


def test_the_gate_lets_readers_in_together_and_a_writer_alone_and_first():
    gate, order = Gate(), []
    both_inside, writer_waits = threading.Barrier(2, timeout=10), threading.Event()

    def read_with_the_other() -> None:
        with gate.shared():
            both_inside.wait()  # only passes if both are inside at once
            writer_waits.wait(10)
            order.append("early")

    def write() -> None:
        with gate.alone():
            order.append("writer")

    def read_late() -> None:
        with gate.shared():
            order.append("late")

    early = [threading.Thread(target=read_with_the_other) for _ in range(2)]
    for thread in early:
        thread.start()
    writer = threading.Thread(target=write)
    writer.start()
    while not gate.writers_waiting:
        pass
    late = threading.Thread(target=read_late)
    late.start()
    writer_waits.set()
    for thread in (*early, writer, late):
        thread.join(10)
    assert order == ["early", "early", "writer", "late"]
