from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from penstock.catalog.database import Database
from penstock.catalog.ledger import Ledger
from penstock.catalog.stores import Stores
from penstock.config import SearchSettings
from penstock.core.context import Context, start_context
from penstock.core.errors import BadDocument, DiskFull
from penstock.core.ports import Source
from penstock.core.types import Chunk, Document, Entry, FileRecord, Principal, Query, Removal, Store
from penstock.ingest.chunk import chunk_document, embedding_text
from penstock.ingest.records import document_of
from penstock.ingest.source import SourceItem
from penstock.pipeline.document import Ingestion, Progress
from penstock.pipeline.identity import file_id_of
from penstock.pipeline.recovery import recover
from penstock.search.edge import EdgeIndex
from penstock.telemetry.metrics import Metrics
from tests.hashing import DIMENSION, HashingEmbedder, WordTokenizer


class RecordReader:
    """Reads records; what says 'broken' is a bad document."""

    fingerprint = "1"

    def __init__(self) -> None:
        self.parsed: list[str] = []

    async def parse(self, content: bytes, source: Source, *, tenant: str) -> Document:
        self.parsed.append(source.name)
        if b"broken" in content:
            raise BadDocument("corrupt", "It says so itself.")
        return document_of(content)

    async def split(self, document: Document, *, tenant: str, store_id: str, file_id: str) -> list[Chunk]:
        return chunk_document(
            document,
            tokenizer=WordTokenizer(),
            max_tokens=40,
            merge_below_tokens=0,
            language="en",
            namespace=f"{tenant}{store_id}{file_id}",
        )

    def embedding_text(self, document: Document, chunk: Chunk) -> str:
        return embedding_text(document.title, chunk, max_tokens=40)


class World:
    """A store with its ledger and index, and a way to ingest into it."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(path=folder / "catalog.db")
        self.ledger = Ledger(database=self.database)
        self.stores = Stores(database=self.database)
        self.folder = folder
        self.store = Store(id="", tenant="", name="", embedder="", dimension=DIMENSION, created_s=0.0)
        self.index = self.new_index()
        self.reader = RecordReader()

    def new_index(self) -> EdgeIndex:
        return EdgeIndex(
            folder=self.folder / "store",
            store_id="s",
            model="hashing-64",
            dimension=DIMENSION,
            settings=SearchSettings(),
        )

    async def start(self) -> None:
        await self.database.start()
        self.store = await self.stores.named("t", "s", embedder="hashing-64", dimension=DIMENSION)
        await self.index.start()

    async def stop(self) -> None:
        await self.index.stop()
        await self.database.stop()

    async def ingest(self, *sources: SourceItem, index: EdgeIndex | None = None) -> Progress:
        self.reader.parsed.clear()
        run = Ingestion(
            store=self.store,
            index=index or self.index,
            embedder=HashingEmbedder(),
            reader=self.reader,
            records=self.ledger,
            metrics=Metrics(),
            group_chunks=3,
        )
        return await run.run(sources, context())

    async def found(self, words: str) -> set[str]:
        vector = (await HashingEmbedder().embed([words], context()))[0]
        hits = (await self.index.search(Query(text=words, limit=50), vector, context())).hits
        return {hit.chunk.text for hit in hits}

    async def states(self) -> dict[str, str]:
        return {record.filename: record.status for record in await self.ledger.all(self.store.id)}


def context() -> Context:
    return start_context(principal=Principal(tenant="t"), timeout_s=60, priority="ingestion")


def record(identifier: str, text: str) -> SourceItem:
    line = msgspec.json.encode({"_id": identifier, "title": "", "text": text})
    return SourceItem(
        identity=f"record:{identifier}",
        name=identifier,
        stamp=str(hash(line)),
        size_bytes=len(line),
        kind="record",
        line=line,
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    await world.stop()


async def test_every_document_is_found_and_recorded(world: World) -> None:
    progress = await world.ingest(*(record(f"d{n}", f"Document number {n} about rivers.") for n in range(20)))

    assert (progress.completed, progress.unchanged, progress.failed, progress.chunks) == (20, 0, 0, 20)
    assert len(await world.found("rivers")) == 20
    assert set((await world.states()).values()) == {"completed"}


async def test_what_is_unchanged_is_not_read_again(world: World) -> None:
    sources = [record(f"d{n}", f"Document number {n}.") for n in range(5)]
    await world.ingest(*sources)
    before = await world.index.dump()

    progress = await world.ingest(*sources)

    assert (progress.completed, progress.unchanged) == (0, 5)
    assert world.reader.parsed == []
    assert await world.index.dump() == before


async def test_a_touched_file_of_the_same_content_is_not_encoded_again(world: World) -> None:
    source = record("a", "The same words.")
    await world.ingest(source)

    progress = await world.ingest(msgspec.structs.replace(source, stamp="touched"))
    again = await world.ingest(msgspec.structs.replace(source, stamp="touched"))

    assert (progress.completed, progress.unchanged) == (0, 1)
    assert (again.unchanged, world.reader.parsed) == (1, [])


async def test_a_changed_document_replaces_the_old_one(world: World) -> None:
    await world.ingest(record("a", "Old words here. " * 20), record("b", "Others stay."))

    await world.ingest(record("a", "New words there."))

    found = await world.found("words")
    assert "New words there." in found
    assert not any("Old" in text for text in found)
    assert "Others stay." in found


async def test_a_bad_document_is_named_and_the_rest_goes_on(world: World) -> None:
    missing = SourceItem(identity="file:x", name="x.md", stamp="1", size_bytes=0, problem=("unreadable", "Gone."))

    progress = await world.ingest(
        record("a", "Good."), record("b", "This is broken."), missing, record("c", "Good too.")
    )

    assert progress.completed == 2
    assert progress.failed == 2
    assert {(failure.name, failure.reason) for failure in progress.failures} == {
        ("b", "corrupt"),
        ("x.md", "unreadable"),
    }
    assert await world.states() == {"a": "completed", "b": "failed", "c": "completed", "x.md": "failed"}


async def test_a_lasting_failure_is_counted_again_without_reading(world: World) -> None:
    await world.ingest(record("b", "This is broken."))

    progress = await world.ingest(record("b", "This is broken."))

    assert progress.failed == 1
    assert world.reader.parsed == []


async def test_a_full_disk_stops_the_run_and_keeps_what_was_done(world: World) -> None:
    await world.ingest(record("a", "Kept."))
    full = EdgeIndex(
        folder=world.folder / "store",
        store_id="s",
        model="hashing-64",
        dimension=DIMENSION,
        settings=SearchSettings(),
        room=lambda _: 0,
    )
    await world.index.stop()
    await full.start()

    with pytest.raises(DiskFull, match="Free some space"):
        await world.ingest(record("b", "No room."), index=full)
    await full.stop()
    await world.index.start()
    await recover(world.store, world.index, world.ledger, context())

    assert await world.found("Kept room") == {"Kept."}
    assert await world.states() == {"a": "completed", "b": "queued"}
    assert (await world.ingest(record("b", "No room."))).completed == 1


def pending(world: World, text: str, *, version: str | None) -> FileRecord:
    return FileRecord(
        store_id=world.store.id,
        file_id=file_id_of(tenant="t", store_id=world.store.id, identity=f"record:{text}"),
        filename=text,
        status="indexing",
        version=version,
        pending_version="v2",
        pending_chunks=1,
    )


def entry(record_: FileRecord, text: str, version: str) -> Entry:
    chunk = Chunk(id=f"{text}-{version}", position=0, text=text)
    return Entry(chunk=chunk, file_id=record_.file_id, filename=text, title="", version=version)


async def test_a_write_that_reached_the_index_is_rolled_forward(world: World) -> None:
    row = pending(world, "a", version="v1")
    await world.ledger.put([row])
    vector = np.full((1, DIMENSION), 1 / 8, np.float32)
    await world.index.write(
        [entry(row, "new", "v2")], vector, [Removal(file_id=row.file_id, keep_version="v2")], context()
    )

    assert await recover(world.store, world.index, world.ledger, context()) == 1

    (settled,) = await world.ledger.all(world.store.id)
    assert (settled.status, settled.version, settled.chunks) == ("completed", "v2", 1)
    assert settled.pending_version is None


async def test_a_write_that_did_not_is_rolled_back_and_the_old_stays(world: World) -> None:
    row = pending(world, "a", version="v1")
    vector = np.full((1, DIMENSION), 1 / 8, np.float32)
    await world.index.write([entry(row, "old", "v1")], vector, [], context())
    await world.ledger.put([row])

    assert await recover(world.store, world.index, world.ledger, context()) == 1
    assert await recover(world.store, world.index, world.ledger, context()) == 0

    (settled,) = await world.ledger.all(world.store.id)
    assert (settled.status, settled.version) == ("queued", "v1")
    assert await world.found("old") == {"old"}


def test_identities_are_derived() -> None:
    one = file_id_of(tenant="t", store_id="s", identity="file:/a/b.md")

    assert one == file_id_of(tenant="t", store_id="s", identity="file:/a/b.md")
    assert one != file_id_of(tenant="u", store_id="s", identity="file:/a/b.md")
    assert one != file_id_of(tenant="t", store_id="s", identity="file:/a/c.md")
