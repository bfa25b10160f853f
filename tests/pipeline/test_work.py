"""Files attached, worked on, broken off, taken out again: what is accepted ends, and what is deleted stays deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from penstock.catalog.attachments import Wanted
from penstock.catalog.jobs import MAX_TRIES, Assignment, Ticket
from penstock.catalog.listing import Page
from penstock.core.errors import Conflict, NotFound
from penstock.core.types import Comparison
from tests.uploads import Parts, PlainReader, context


@pytest.fixture
async def uploads(tmp_path: Path) -> AsyncIterator[Parts]:
    uploads = Parts(folder=tmp_path)
    await uploads.start()
    yield uploads
    await uploads.stop()


async def test_an_attached_file_is_found_with_its_attributes(uploads: Parts) -> None:
    store = await uploads.store()
    file = await uploads.upload("A penstock is a pipe.")

    record = await uploads.attach(store, file, attributes={"year": 1998.0})
    assert (record.status, record.file_id) == ("queued", file.id)
    await uploads.work_off()

    (hit,) = await uploads.hits(store, "pipe", filters=Comparison(type="eq", key="year", value=1998.0))
    assert (hit.file_id, hit.filename, hit.attributes) == (file.id, "a.txt", {"year": 1998.0})
    assert await uploads.states(store) == {"a.txt": "completed"}
    assert await uploads.count_jobs() == 0


async def test_groups_are_kept_and_decide_who_finds_it(uploads: Parts) -> None:
    store = await uploads.store()
    await uploads.attach(store, await uploads.upload("Everybody reads this.", "open.txt"))
    await uploads.attach(store, await uploads.upload("The board reads this.", "board.txt"), groups=("board",))
    await uploads.work_off()

    async def names(groups: tuple[str, ...] | None) -> set[str]:
        return {hit.filename for hit in await uploads.hits(store, "reads", groups=groups)}

    assert await names(None) == {"open.txt", "board.txt"}
    assert await names(()) == await names(("staff",)) == {"open.txt"}
    assert await names(("board", "staff")) == {"open.txt", "board.txt"}


async def test_a_chunk_budget_is_kept_to(uploads: Parts) -> None:
    store = await uploads.store()
    text = "\n".join(f"Line {n} of the long text has eight words." for n in range(20))
    small, large = await uploads.upload(text, "small.txt"), await uploads.upload(text, "large.txt")
    await uploads.attach(store, small, chunk_tokens=20)
    await uploads.attach(store, large, chunk_tokens=120)
    await uploads.work_off()

    records = {record.filename: record.chunks for record in await uploads.ledger.all(store.id)}
    assert records["small.txt"] > 2 * records["large.txt"] > 0


async def test_a_bad_file_fails_with_its_reason_and_its_neighbours_do_not(uploads: Parts) -> None:
    store = await uploads.store()
    for name, text in (("bad.txt", "broken"), ("good.txt", "A good text."), ("empty.txt", "")):
        await uploads.attach(store, await uploads.upload(text, name))
    await uploads.work_off()

    records = {record.filename: record for record in await uploads.ledger.all(store.id)}
    assert (records["bad.txt"].status, records["bad.txt"].reason) == ("failed", "corrupt")
    assert (records["empty.txt"].status, records["empty.txt"].reason) == ("failed", "empty")
    assert records["good.txt"].status == "completed"
    assert await uploads.count_jobs() == 0


async def test_what_is_no_fault_of_a_file_is_tried_again_alone_and_given_up_in_the_end(uploads: Parts) -> None:
    store = await uploads.store()
    for name, text in (("bug.txt", "explode"), ("good.txt", "A good text.")):
        await uploads.attach(store, await uploads.upload(text, name))
    await uploads.work_off()

    records = {record.filename: record for record in await uploads.ledger.all(store.id)}
    assert (records["bug.txt"].status, records["bug.txt"].reason) == ("failed", "internal")
    assert records["good.txt"].status == "completed"
    assert uploads.reader.parsed.count("bug.txt") == MAX_TRIES
    assert await uploads.count_jobs() == 0


async def test_attaching_twice_is_once_unless_it_is_another_way(uploads: Parts) -> None:
    store = await uploads.store()
    file = await uploads.upload("Once.")
    await uploads.attach(store, file, attributes={"a": 1.0})
    await uploads.work_off()

    again = await uploads.attach(store, file, attributes={"a": 1.0})
    assert again.status == "completed"
    with pytest.raises(Conflict):
        await uploads.attach(store, file, attributes={"a": 2.0})
    assert await uploads.count_jobs() == 0


async def test_a_failed_file_can_be_attached_again(uploads: Parts) -> None:
    store = await uploads.store()
    file = await uploads.upload("broken")
    await uploads.attach(store, file)
    await uploads.work_off()

    assert (await uploads.attach(store, file)).status == "queued"


async def test_what_belongs_to_somebody_else_is_not_there(uploads: Parts) -> None:
    mine, theirs = await uploads.store(tenant="a"), await uploads.store(tenant="b")
    file = await uploads.upload("Secret.", tenant="b")

    with pytest.raises(NotFound):
        await uploads.attach(mine, file)
    with pytest.raises(NotFound):
        await uploads.files.get("a", file.id)
    with pytest.raises(NotFound):
        await uploads.file_keeper.delete("a", file.id, context("a"))
    with pytest.raises(NotFound):
        await uploads.store_keeper.delete("a", theirs.id)


# --- taking out ---------------------------------------------------------------------------


async def test_a_detached_file_is_gone_and_may_come_back(uploads: Parts) -> None:
    store = await uploads.store()
    file = await uploads.upload("A penstock is a pipe.")
    await uploads.attach(store, file)
    await uploads.work_off()

    await uploads.attaching.detach(store, file.id, context())

    assert await uploads.hits(store, "pipe") == ()
    with pytest.raises(NotFound):
        await uploads.attaching.detach(store, file.id, context())
    await uploads.attach(store, file)
    await uploads.work_off()
    assert len(await uploads.hits(store, "pipe")) == 1


async def test_a_file_can_be_taken_out_while_it_is_worked_on(tmp_path: Path) -> None:
    gate = asyncio.Event()
    uploads = Parts(folder=tmp_path, reader=PlainReader(gate=gate))
    await uploads.start()
    store = await uploads.store()
    going, staying = await uploads.upload("Going away.", "going.txt"), await uploads.upload("Staying.", "staying.txt")
    for file in (going, staying):
        await uploads.attach(store, file)
    step = asyncio.create_task(uploads.step())
    await uploads.reader.began.get()
    await uploads.reader.began.get()

    await uploads.attaching.detach(store, going.id, context())
    gate.set()
    await step
    await uploads.work_off()

    assert await uploads.states(store) == {"staying.txt": "completed"}
    assert {hit.filename for hit in await uploads.hits(store, "going staying")} == {"staying.txt"}
    await uploads.stop()


async def test_a_deleted_file_leaves_every_store_and_the_disk(uploads: Parts) -> None:
    stores = [await uploads.store("a"), await uploads.store("b")]
    file, twin = await uploads.upload("Same text."), await uploads.upload("Same text.", "twin.txt")
    for store in stores:
        await uploads.attach(store, file)
    await uploads.work_off()
    content = uploads.originals.path(file.sha256)

    await uploads.file_keeper.delete("default", file.id, context())

    for store in stores:
        assert await uploads.hits(store, "same text") == ()
    assert content.exists(), "its twin has the same content"
    await uploads.file_keeper.delete("default", twin.id, context())
    assert not content.exists()


async def test_a_deleted_store_leaves_nothing(uploads: Parts) -> None:
    store = await uploads.store()
    await uploads.attach(store, await uploads.upload("Text."))
    await uploads.work_off()
    folder = uploads.folder / "stores" / store.id
    assert folder.exists()

    await uploads.store_keeper.delete("default", store.id)

    assert not folder.exists()
    assert await uploads.ledger.all(store.id) == []
    with pytest.raises(NotFound):
        await uploads.indexes.of(store)


async def test_a_store_can_be_deleted_while_it_is_worked_on(tmp_path: Path) -> None:
    uploads = Parts(folder=tmp_path, reader=PlainReader(gate=asyncio.Event()))
    await uploads.start()
    store = await uploads.store()
    await uploads.attach(store, await uploads.upload("Text."))
    step = asyncio.create_task(uploads.step())
    await uploads.reader.began.get()

    await uploads.store_keeper.delete("default", store.id)
    await step

    assert not (tmp_path / "stores" / store.id).exists()
    assert not await uploads.step()
    await uploads.stop()


# --- changing -----------------------------------------------------------------------------


async def test_attributes_change_without_a_new_embedding(uploads: Parts) -> None:
    store = await uploads.store()
    file = await uploads.upload("\n".join(f"Paragraph number {n} is about pipes of steel." for n in range(9)))
    await uploads.attach(store, file, attributes={"year": 1998.0}, groups=("staff",))
    await uploads.work_off()
    index = await uploads.indexes.of(store)
    before, vectors = await index.entries_of(file.id)

    await uploads.attaching.update(store, file.id, context(), attributes={"year": 2026.0})

    after, same = await index.entries_of(file.id)
    assert len(before) > 1
    assert [entry.chunk for entry in after] == [entry.chunk for entry in before]
    np.testing.assert_allclose(same, vectors, atol=1e-6)
    assert {(entry.attributes["year"], entry.groups) for entry in after} == {(2026.0, ("staff",))}
    assert await uploads.hits(store, "pipes", filters=Comparison(type="eq", key="year", value=1998.0)) == ()
    assert uploads.reader.parsed == ["a.txt"]


async def test_attributes_of_a_waiting_file_are_those_it_gets(uploads: Parts) -> None:
    store = await uploads.store()
    file = await uploads.upload("Text.")
    await uploads.attach(store, file, attributes={"year": 1.0})

    await uploads.attaching.update(store, file.id, context(), attributes={"year": 2.0})
    await uploads.work_off()

    (hit,) = await uploads.hits(store, "text")
    assert hit.attributes == {"year": 2.0}


# --- batches ------------------------------------------------------------------------------


async def test_a_cancelled_batch_does_only_what_was_begun(uploads: Parts) -> None:
    store = await uploads.store()
    files = [await uploads.upload(f"Text {n}.", f"{n}.txt") for n in range(3)]
    wanted = [Wanted(file_id=file.id) for file in files]
    batch = await uploads.attaching.attach_batch(store, wanted)
    assert await uploads.attachments.batch_counts(batch.id) == {"queued": 3}

    await uploads.attachments.cancel(store.id, batch.id)
    await uploads.work_off()

    assert await uploads.attachments.batch_counts(batch.id) == {"cancelled": 3}
    assert await uploads.hits(store, "text") == ()
    page, more = await uploads.attachments.page(store.id, Page(limit=2, batch_id=batch.id, newest_first=False))
    assert more
    assert {record.file_id for record in page} < {file.id for file in files}


async def test_a_file_that_is_slow_to_read_delays_no_other(tmp_path: Path) -> None:
    gate = asyncio.Event()
    reader = PlainReader(gate=gate, only="slow.txt")
    uploads = Parts(folder=tmp_path, reader=reader)
    await uploads.start()
    store = await uploads.store()
    for name in ("slow.txt", "quick.txt"):
        await uploads.attach(store, await uploads.upload(f"Text of {name}.", name))
    step = asyncio.create_task(uploads.step())
    async with asyncio.timeout(10):
        while (await uploads.states(store))["quick.txt"] != "completed":
            await asyncio.sleep(0.05)
    assert (await uploads.states(store))["slow.txt"] == "parsing"
    gate.set()
    await step
    assert (await uploads.states(store))["slow.txt"] == "completed"
    await uploads.stop()


async def test_a_batch_is_accepted_whole_or_not_at_all(uploads: Parts) -> None:
    store = await uploads.store()
    file = await uploads.upload("Text.")

    with pytest.raises(NotFound):
        await uploads.attaching.attach_batch(store, [Wanted(file_id=file.id), Wanted(file_id="file-none")])

    assert await uploads.states(store) == {}


async def test_pages_in_both_directions(uploads: Parts) -> None:
    store = await uploads.store()
    for n in range(5):
        await uploads.attach(store, await uploads.upload(f"Text {n}.", f"{n}.txt"))

    async def names(**page: object) -> list[str]:
        records, _ = await uploads.attachments.page(store.id, Page(limit=2, **page))  # type: ignore[arg-type]
        return [record.filename for record in records]

    (at,) = [record.file_id for record in await uploads.ledger.all(store.id) if record.filename == "2.txt"]
    assert await names() == ["4.txt", "3.txt"]
    assert await names(after=at) == ["1.txt", "0.txt"]
    assert await names(before=at) == ["4.txt", "3.txt"]
    assert await names(newest_first=False, before=at) == ["0.txt", "1.txt"]
    assert await names(shown="in_progress", after=at) == ["1.txt", "0.txt"]
    assert await names(shown="completed") == []


# --- dying --------------------------------------------------------------------------------


async def again(uploads: Parts) -> Parts:
    """The same folder in a new process, as far as one can tell: nothing but the disk is carried over."""
    await uploads.stop()
    fresh = Parts(folder=uploads.folder)
    await fresh.start()
    return fresh


async def test_what_was_accepted_is_done_after_a_restart(tmp_path: Path) -> None:
    uploads = Parts(folder=tmp_path, reader=PlainReader(gate=asyncio.Event()))
    await uploads.start()
    store = await uploads.store()
    await uploads.attach(store, await uploads.upload("A penstock is a pipe."))
    await uploads.outbox.carry()
    (lease,) = await uploads.queue.lease(10, wait_s=0)
    ticket = msgspec.json.decode(lease.message.body, type=Ticket)
    (began,) = await uploads.desk.begin([ticket], worker=uploads.work.name, models=["hashing-64"])  # and then it dies
    assert isinstance(began, Assignment)

    fresh = await again(uploads)
    await fresh.work_off()

    assert await fresh.states(store) == {"a.txt": "completed"}
    assert len(await fresh.hits(store, "pipe")) == 1
    await fresh.stop()


@pytest.mark.parametrize("change", ["removed", "attributes"])
async def test_a_change_that_reached_only_the_ledger_is_finished(tmp_path: Path, change: str) -> None:
    uploads = Parts(folder=tmp_path)
    await uploads.start()
    store = await uploads.store()
    file = await uploads.upload("A penstock is a pipe.")
    await uploads.attach(store, file, attributes={"a": 1.0})
    await uploads.work_off()
    if change == "removed":
        await uploads.attachments.detach(store.id, file.id, at_rest=True)
    else:
        await uploads.attachments.change(store.id, file.id, at_rest=True, attributes={"a": 2.0})
    assert len(await uploads.hits(store, "pipe")) == 1

    fresh = await again(uploads)

    hits = await fresh.hits(store, "pipe")
    assert [hit.attributes for hit in hits] == ([] if change == "removed" else [{"a": 2.0}])
    assert await fresh.attachments.unfinished() == []
    await fresh.stop()


async def test_a_deletion_that_only_began_is_finished(tmp_path: Path) -> None:
    uploads = Parts(folder=tmp_path)
    await uploads.start()
    store = await uploads.store()
    await uploads.attach(store, await uploads.upload("Text."))
    await uploads.work_off()
    await uploads.stores.hide("default", store.id)

    fresh = await again(uploads)

    assert await fresh.stores.hidden() == []
    assert not (tmp_path / "stores" / store.id).exists()
    await fresh.stop()


async def test_half_an_upload_and_ownerless_content_are_swept_away(tmp_path: Path) -> None:
    uploads = Parts(folder=tmp_path)
    await uploads.start()
    kept = await uploads.upload("Kept.")
    half = await uploads.file_keeper.receive()
    half.write(b"half")
    ownerless = await uploads.file_keeper.receive()
    ownerless.write(b"nobody's")
    ownerless.keep()

    fresh = await again(uploads)

    assert [path.name for path in (tmp_path / "files").iterdir()] == [kept.sha256]
    half.abandon()
    await fresh.stop()
