"""A document's way: read, parse, split, embed, write, record; in groups, the steps overlapping.

While one group is embedded, the next is parsed and the last one is written, each step waiting on a bounded queue for
the slowest. A document is visible with all of its chunks or not at all, and the ledger says `indexing` before
the index is touched, so that a crash at any moment leaves something that `recovery` can finish.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from penstock.core.context import Context
from penstock.core.errors import BadDocument
from penstock.core.ports import Embedder, Source
from penstock.core.types import Chunk, Document, Entry, Failure, FileRecord, Removal, Store
from penstock.pipeline.directory import OpenIndex
from penstock.pipeline.identity import content_version, file_id_of
from penstock.pipeline.reuse import Encoded, Once
from penstock.telemetry.metrics import Metrics

LOOK_AHEAD = 256
"""Sources compared with the ledger in one statement."""
WAITING_DOCUMENTS = 64
"""Parsed documents that may wait for the encoder; bounds memory."""


class Reader(Protocol):
    """Makes a document of a source's bytes, and chunks of a document."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same bytes would give other chunks."""
        ...

    async def parse(self, content: bytes, source: Source, *, tenant: str) -> Document:
        """Raises BadDocument."""
        ...

    async def split(self, document: Document, *, tenant: str, store_id: str, file_id: str) -> list[Chunk]:
        """At least one chunk. Raises BadDocument (empty)."""
        ...

    def embedding_text(self, document: Document, chunk: Chunk) -> str:
        """What the encoder reads for a chunk."""
        ...


class Records(Protocol):
    """The part of the ledger that ingestion needs."""

    async def known(self, store_id: str, file_ids: Sequence[str]) -> dict[str, FileRecord]: ...

    async def put(self, records: Iterable[FileRecord]) -> None: ...


class Progress(msgspec.Struct):
    """Counts of a running ingestion; `failures` keeps the first few by name."""

    completed: int = 0
    unchanged: int = 0
    failed: int = 0
    chunks: int = 0
    reused: int = 0
    """Chunks whose vectors were there already."""
    size_bytes: int = 0
    handled_bytes: int = 0
    """Of all sources that are done with, also unchanged and failed ones."""
    skipped: int = 0
    """Records that an interrupted run had done, and this one has not looked at."""
    removed: int = 0
    remark: str = ""
    """What else to say of the run."""
    failures: list[Failure] = []

    @property
    def seen(self) -> int:
        return self.completed + self.unchanged + self.failed


class Stretch:
    """Sources that were looked at together; `left` of their documents are on their way."""

    def __init__(self, last: Source) -> None:
        self.last = last
        self.left = 1  # the looking itself


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is ready to be embedded."""

    record: FileRecord
    document: Document
    chunks: list[Chunk]
    texts: list[str]
    stretch: Stretch


class Embedded(msgspec.Struct, frozen=True):
    """A group on its way to the index."""

    documents: list[Prepared]
    encoded: Encoded


class Ingestion:
    """One run over one store: three steps, and a queue between each two. `None` ends a queue."""

    def __init__(
        self,
        *,
        store: Store,
        index: OpenIndex,
        embedder: Embedder,
        reader: Reader,
        records: Records,
        metrics: Metrics,
        group_chunks: int = 256,
        parallel_parses: int = 4,
        kept_failures: int = 1000,
        report: Callable[[Progress], None] | None = None,
        file_id: Callable[[str], str] | None = None,
        seen: Callable[[Sequence[str]], Awaitable[None]] | None = None,
        settled: Callable[[Source], None] | None = None,
    ) -> None:
        """`file_id` makes a file's id of a source's identity; derived ids, where none is given.

        `seen` is told the ids of all files that there are. `settled` is told a source when it, and all before it, are
        done with and recorded.
        """
        self._store = store
        self._index = index
        self._once = Once(index=index, embedder=embedder)
        self._reader = reader
        self._records = records
        self._metrics = metrics
        self._group_chunks = group_chunks
        self._parallel_parses = parallel_parses
        self._kept_failures = kept_failures
        self._report = report or (lambda _: None)
        self._id_of = file_id
        self._seen = seen
        self._settled = settled or (lambda _: None)
        self._stretches: deque[Stretch] = deque()
        self._salt = f"{embedder.model}\n{reader.fingerprint}"
        self._prepared: asyncio.Queue[Prepared | None] = asyncio.Queue(maxsize=WAITING_DOCUMENTS)
        self._embedded: asyncio.Queue[Embedded | None] = asyncio.Queue(maxsize=1)
        self.progress = Progress()

    async def run(self, sources: Iterable[Source], ctx: Context) -> Progress:
        """Bring the store in step with the sources; what is unchanged costs a look-up.

        Raises what stops everything (DiskFull, DataDamaged); a bad file is counted and the rest goes on.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._prepare(iter(sources)), name="ingest-prepare")
                tasks.create_task(self._embed(ctx), name="ingest-embed")
                tasks.create_task(self._write(ctx), name="ingest-write")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        self._report(self.progress)
        return self.progress

    # --- step 1: compare, read, parse, split --------------------------------------

    async def _prepare(self, sources: Iterator[Source]) -> None:
        while group := await asyncio.to_thread(lambda: list(itertools.islice(sources, LOOK_AHEAD))):
            named = {self._file_id(source.identity): source for source in group}
            if self._seen is not None:
                await self._seen(list(named))
            known = await self._records.known(self._store.id, list(named))
            stretch = Stretch(group[-1])
            self._stretches.append(stretch)
            await self._prepare_group(named, known, stretch)
            self._done_with(stretch)
            self._report(self.progress)
        await self._prepared.put(None)

    async def _prepare_group(
        self, named: Mapping[str, Source], known: Mapping[str, FileRecord], stretch: Stretch
    ) -> None:
        gate = asyncio.Semaphore(self._parallel_parses)
        untouched: list[FileRecord] = []

        async def one(file_id: str, source: Source) -> None:
            async with gate:
                record = await self._prepare_one(file_id, source, known.get(file_id), stretch)
            if record is not None:
                untouched.append(record)

        async with asyncio.TaskGroup() as tasks:
            for file_id, source in named.items():
                before = known.get(file_id)
                if before is not None and self._is_settled(before, source):
                    self._count_unchanged(before)
                else:
                    tasks.create_task(one(file_id, source), name="ingest-parse")
        if untouched:
            await self._records.put(untouched)

    async def _prepare_one(
        self, file_id: str, source: Source, before: FileRecord | None, stretch: Stretch
    ) -> FileRecord | None:
        """Queue the document, or return the record to write where there is nothing to index."""
        record = before or FileRecord(store_id=self._store.id, file_id=file_id, filename=source.name, status="queued")
        record = msgspec.structs.replace(record, stamp=self._stamp(source), size_bytes=source.size_bytes)
        try:
            content = await asyncio.to_thread(source.read)
            record = msgspec.structs.replace(record, size_bytes=len(content))
            version = content_version(content, self._salt)
            if record.status == "completed" and record.version == version:
                self._count_unchanged(record)
                return record
            document = await self._reader.parse(content, source, tenant=self._store.tenant)
            chunks = await self._reader.split(
                document, tenant=self._store.tenant, store_id=self._store.id, file_id=file_id
            )
        except BadDocument as error:
            self._count_failure(Failure(source.name, error.reason, error.message), source.size_bytes)
            return msgspec.structs.replace(
                record, status="failed", reason=error.reason, error=error.message, attempts=record.attempts + 1
            )
        record = msgspec.structs.replace(
            record,
            status="indexing",
            pending_version=version,
            pending_chunks=len(chunks),
            attributes=document.attributes,
            reason=None,
            error="",
            attempts=record.attempts + 1,
        )
        texts = [self._reader.embedding_text(document, chunk) for chunk in chunks]
        stretch.left += 1
        await self._prepared.put(
            Prepared(record=record, document=document, chunks=chunks, texts=texts, stretch=stretch)
        )
        return None

    # --- step 2: embed ---------------------------------------------------------------

    async def _embed(self, ctx: Context) -> None:
        async for group in self._groups():
            texts = [text for prepared in group for text in prepared.texts]
            await self._embedded.put(Embedded(group, await self._once.embed(texts, ctx)))
        await self._embedded.put(None)

    async def _groups(self) -> AsyncIterator[list[Prepared]]:
        """Documents together until they have `group_chunks` chunks."""
        group: list[Prepared] = []
        while (prepared := await self._prepared.get()) is not None:
            group.append(prepared)
            if sum(len(member.chunks) for member in group) >= self._group_chunks:
                yield group
                group = []
        if group:
            yield group

    # --- step 3: write and record --------------------------------------------------------

    async def _write(self, ctx: Context) -> None:
        while (group := await self._embedded.get()) is not None:
            records = [prepared.record for prepared in group.documents]
            encoded = group.encoded
            origins = zip(encoded.hashes, encoded.sketches, strict=True)
            await self._records.put(records)
            await self._index.write(
                [entry for prepared in group.documents for entry in _entries(prepared, origins)],
                encoded.vectors,
                [Removal(file_id=record.file_id, keep_version=record.pending_version) for record in records],
                ctx,
            )
            await self._records.put([completed(record) for record in records])
            for prepared in group.documents:
                self.progress.completed += 1
                self.progress.chunks += len(prepared.chunks)
                self.progress.size_bytes += prepared.record.size_bytes
                self.progress.handled_bytes += prepared.record.size_bytes
                self._done_with(prepared.stretch)
                self._metrics.files.labels("completed").inc()
            self.progress.reused += encoded.reused
            self._metrics.chunks.inc(len(encoded.vectors))
            self._metrics.chunks_reused.inc(encoded.reused)
            self._report(self.progress)

    def _done_with(self, stretch: Stretch) -> None:
        """One of the stretch is done with; whole stretches are settled in the order in which they came."""
        stretch.left -= 1
        while self._stretches and not self._stretches[0].left:
            self._settled(self._stretches.popleft().last)

    # --- counting ------------------------------------------------------------------------

    def _file_id(self, identity: str) -> str:
        if self._id_of is not None:
            return self._id_of(identity)
        return file_id_of(tenant=self._store.tenant, store_id=self._store.id, identity=identity)

    def _is_settled(self, record: FileRecord, source: Source) -> bool:
        """Whether this very source has been dealt with, so that reading it again would tell nothing new."""
        lasting = record.status == "completed" or (
            record.status == "failed" and record.reason not in ("internal", "timeout", "memory", "unreadable")
        )
        return lasting and record.stamp == self._stamp(source)

    def _stamp(self, source: Source) -> str:
        """Another encoder or splitter makes another stamp, so nothing old passes for unchanged."""
        return content_version(source.stamp.encode(), self._salt)

    def _count_unchanged(self, record: FileRecord) -> None:
        if record.status == "failed":
            failure = Failure(record.filename, record.reason or "internal", record.error)
            self._count_failure(failure, record.size_bytes)
        else:
            self.progress.handled_bytes += record.size_bytes
            self.progress.unchanged += 1
            self._metrics.files.labels("unchanged").inc()

    def _count_failure(self, failure: Failure, size_bytes: int) -> None:
        self.progress.failed += 1
        self.progress.handled_bytes += size_bytes
        self._metrics.files.labels("failed").inc()
        if len(self.progress.failures) < self._kept_failures:
            self.progress.failures.append(failure)


def completed(record: FileRecord) -> FileRecord:
    """The record once its pending version is what the index holds."""
    return msgspec.structs.replace(
        record,
        status="completed",
        version=record.pending_version,
        chunks=record.pending_chunks,
        pending_version=None,
        pending_chunks=0,
    )


def _entries(prepared: Prepared, origins: Iterator[tuple[str, str]]) -> Iterator[Entry]:
    """`origins` are the hashes and sketches of the group's chunks, from which each document takes its own."""
    record, document = prepared.record, prepared.document
    assert record.pending_version is not None, "only pending documents are written"
    for chunk, (embedded, sketch) in zip(prepared.chunks, itertools.islice(origins, len(prepared.chunks)), strict=True):
        yield Entry(
            chunk=chunk,
            file_id=record.file_id,
            filename=record.filename,
            title=document.title,
            version=record.pending_version,
            attributes=document.attributes,
            groups=record.groups,
            embedded=embedded,
            sketch=sketch,
        )
