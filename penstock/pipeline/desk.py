"""The server's side of the work on uploaded files: it gives jobs out, takes results in, and alone writes the index.

A worker begins a job, reads, splits and embeds the file wherever it runs, and hands in what came of it. A result counts
only while the job is still that worker's: what was deleted, cancelled or given to another meanwhile is refused. So
a file is completed once, failed with a reason, or waiting; never in between, whoever dies when.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal
from weakref import WeakValueDictionary

import msgspec
import numpy as np

from penstock.catalog.jobs import Assignment, Jobs, Refused, Ticket
from penstock.catalog.ledger import Ledger
from penstock.catalog.originals import Originals
from penstock.catalog.stores import Stores
from penstock.core.context import start_context
from penstock.core.errors import (
    BadDocument,
    DataDamaged,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    Setup,
    StageUnavailable,
)
from penstock.core.types import (
    AttributeValue,
    Chunk,
    Entry,
    FailureReason,
    FileRecord,
    Principal,
    Removal,
    Store,
    Value,
    Vector,
    Vectors,
)
from penstock.pipeline.backoff import pause_s
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.document import completed
from penstock.pipeline.recovery import recover
from penstock.pipeline.writers import Writers
from penstock.telemetry.metrics import Metrics

log = logging.getLogger("penstock.work")

WRITE_TIMEOUT_S = 600.0
NOT_THE_FILES_FAULT = (Setup, Overloaded, StageUnavailable, DeadlineExceeded)
"""Errors that say nothing about the file: it waits, and its tries are not counted."""
OURS = "An error on our side; the log says which."
EMPTY = hashlib.sha256().hexdigest()
SEEN_S = 120.0
"""A worker that was not heard of for so long is no longer listed."""


class Finished(Value, frozen=True):
    """What came of one file: everything but its vectors, which go beside it, a row for each chunk that is new."""

    lease: str
    version: str
    stamp: str
    title: str
    attributes: dict[str, AttributeValue]
    chunks: tuple[Chunk, ...]
    embedded: tuple[str, ...]
    """For each chunk the hash of what the encoder read (pipeline/reuse.py)."""
    known: tuple[int, ...] = ()
    """Places of the chunks whose vectors the store has; there is no row for them."""

    @property
    def rows(self) -> int:
        """Vectors that are handed in with it."""
        return len(self.chunks) - len(self.known)


class Read(Value, frozen=True):
    """A file whose passages are about to be embedded: the hashes of what the encoder would read."""

    lease: str
    embedded: tuple[str, ...]


class Unfinished(Value, frozen=True):
    """A file that nothing came of: bad itself (`reason`), or to be tried again; `counted`: it may be its fault.

    Without an error it was given back by a worker that stops, and may be begun at once.
    """

    lease: str
    error: str
    reason: FailureReason | None = None
    counted: bool = True
    tries: int = 0


class Outcome(Value, frozen=True):
    """What the server made of a report. lost: the job was no longer the worker's."""

    lease: str
    kind: Literal["done", "waits", "dead", "lost"]
    after_s: float = 0.0
    error: str = ""


class Desk:
    """See the head of this file. Nothing is opened here; `stop` waits for writes under way."""

    def __init__(
        self,
        *,
        stores: Stores,
        ledger: Ledger,
        jobs: Jobs,
        originals: Originals,
        indexes: IndexDirectory,
        writers: Writers,
        metrics: Metrics,
        lease_s: float = 30.0,
        pause_s: Callable[[int], float] = pause_s,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._stores = stores
        self._ledger = ledger
        self._jobs = jobs
        self._originals = originals
        self._indexes = indexes
        self._writers = writers
        self._metrics = metrics
        self.lease_s = lease_s
        self._pause_s = pause_s
        self._now_s = now_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._writing: set[asyncio.Task[list[Outcome]]] = set()
        self._seen: dict[str, float] = {}

    async def stop(self) -> None:
        """Let what is being written end."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    @property
    def workers(self) -> list[str]:
        """Those that were heard of lately."""
        now_s = self._now_s()
        self._seen = {name: seen_s for name, seen_s in self._seen.items() if now_s - seen_s < SEEN_S}
        return sorted(self._seen)

    @asynccontextmanager
    async def held(self, store_id: str) -> AsyncIterator[None]:
        """A block in which no result is written to the store; later ones go by what it left in the ledger."""
        async with self._lock(store_id):
            yield

    # --- what a worker asks ---------------------------------------------------------------

    async def begin(
        self, tickets: Sequence[Ticket], *, worker: str, models: Sequence[str]
    ) -> list[Assignment | Refused]:
        """One answer a ticket, in their order."""
        now_s = self._now_s()
        self._seen[worker] = now_s
        return await self._jobs.begin(tickets, worker=worker, models=models, now_s=now_s, lease_s=self.lease_s)

    async def content(self, assignment: Assignment) -> bytes:
        """The file's bytes. Raises BadDocument, and NotFound when the job is no longer the worker's."""
        return await self.content_of(assignment.lease)

    async def content_of(self, lease: str) -> bytes:
        """The same by the lease alone, which is all that a worker has to show."""
        sha256 = await self._jobs.content_of(lease)
        if sha256 is None:
            raise NotFound("lease", lease)
        if sha256 == EMPTY:
            raise BadDocument("empty", "It is empty.")
        try:
            return await asyncio.to_thread(self._originals.read, sha256)
        except DataDamaged as error:
            raise BadDocument("unreadable", "Its content is no longer there. Upload it again.") from error

    async def beat(self, worker: str, leases: Sequence[str]) -> set[str]:
        """The worker lives and works on these; returns those that are no longer its own."""
        now_s = self._now_s()
        self._seen[worker] = now_s
        return await self._jobs.beat(worker, leases, now_s=now_s, lease_s=self.lease_s)

    async def embedding(self, read: Sequence[Read]) -> dict[str, set[str]]:
        """These have been read, and their passages are being embedded. Says of which the store has the vectors."""
        leases = [each.lease for each in read]
        await self._jobs.advance(leases, lambda _, record: msgspec.structs.replace(record, status="embedding"))
        owners = await self._jobs.of_leases(leases)
        wanted: dict[tuple[str, str], set[str]] = {}
        for each in read:
            if each.lease in owners:
                tenant, store_id, _ = owners[each.lease]
                wanted.setdefault((tenant, store_id), set()).update(each.embedded)
        found: dict[str, set[str]] = {}
        for (tenant, store_id), names in wanted.items():
            with contextlib.suppress(NotFound):  # deleted meanwhile
                index = await self._indexes.of(await self._stores.get(tenant, store_id))
                found[store_id] = set(await index.embedded(sorted(names)) or ())
        return {lease: found[store_id] for lease, (_, store_id, _) in owners.items() if store_id in found}

    async def give_up(self, unfinished: Sequence[Unfinished]) -> list[Outcome]:
        """Files that nothing came of."""
        bad = {report.lease: report for report in unfinished if report.reason is not None}

        def failed(lease: str, record: FileRecord) -> FileRecord:
            report = bad[lease]
            return msgspec.structs.replace(record, status="failed", reason=report.reason, error=report.error)

        settled = await self._jobs.advance(list(bad), failed)
        self._metrics.files.labels("failed").inc(len(settled))
        outcomes = [Outcome(lease=lease, kind="done" if lease in settled else "lost") for lease in bad]
        for report in unfinished:
            if report.reason is None:
                pause = self._pause_s(report.tries) if report.error else 0.0
                outcomes += await self._put_back([report.lease], pause, report.error, counted=report.counted)
        return outcomes

    async def hand_in(self, finished: Sequence[Finished], vectors: Vectors) -> list[Outcome]:
        """Into the index, durable and visible, and then `completed`. Whoever asked may leave: it goes on."""
        task = asyncio.create_task(self._write(finished, vectors), name="desk:write")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    # --- writing --------------------------------------------------------------------------

    async def _write(self, finished: Sequence[Finished], vectors: Vectors) -> list[Outcome]:
        owners = await self._jobs.of_leases([each.lease for each in finished])
        outcomes = [Outcome(lease=each.lease, kind="lost") for each in finished if each.lease not in owners]
        rows: dict[tuple[str, str], list[tuple[Finished, Vectors]]] = {}
        at = 0
        for each in finished:
            mine = vectors[at : at + each.rows]
            at += each.rows
            if each.lease in owners:
                tenant, store_id, _ = owners[each.lease]
                rows.setdefault((tenant, store_id), []).append((each, mine))
        if at != len(vectors):
            raise ValueError(f"{len(vectors)} vectors for {at} new chunks")
        for (tenant, store_id), members in rows.items():
            async with self._writers.shared(store_id), self._lock(store_id):
                outcomes += await self._write_store(tenant, store_id, members)
        return outcomes

    async def _write_store(
        self, tenant: str, store_id: str, members: Sequence[tuple[Finished, Vectors]]
    ) -> list[Outcome]:
        by_lease = {each.lease: each for each, _ in members}
        records: dict[str, FileRecord] = {}
        waiting: list[Outcome] = []
        try:
            store = await self._stores.get(tenant, store_id)
            index = await self._indexes.of(store)
            known = await index.embedded(sorted({name for each, _ in members for name in _known(each)})) or {}
            if gone := [lease for lease, each in by_lease.items() if not known.keys() >= _known(each)]:
                # What the store had when the worker asked has been deleted since: it must be encoded after all.
                waiting = await self._put_back(gone, 0.0, "", counted=False)
                by_lease = {lease: each for lease, each in by_lease.items() if lease not in gone}
            records = await self._jobs.advance(list(by_lease), lambda lease, record: _indexing(by_lease[lease], record))
            valid = [(each, rows) for each, rows in members if each.lease in records]
            ctx = start_context(principal=Principal(tenant=tenant), timeout_s=WRITE_TIMEOUT_S, priority="ingestion")
            if valid:
                await index.write(
                    [entry for each, _ in valid for entry in _entries(each, records[each.lease], known)],
                    np.concatenate([_whole(each, rows, known) for each, rows in valid]),
                    [
                        Removal(file_id=record.file_id, keep_version=record.pending_version)
                        for record in records.values()
                    ],
                    ctx,
                )
                await self._jobs.finish([completed(record) for record in records.values()])
        except NotFound:
            # The store was deleted meanwhile.
            return [*waiting, *(Outcome(lease=lease, kind="lost") for lease in by_lease)]
        except Exception as error:
            log.warning("%d files of %s will be tried again", len(members), store_id, exc_info=error)
            return [*waiting, *await self._roll(tenant, store_id, records, list(by_lease), error)]
        self._metrics.files.labels("completed").inc(len(valid))
        self._metrics.chunks.inc(sum(len(each.chunks) for each, _ in valid))
        self._metrics.chunks_reused.inc(sum(len(each.known) for each, _ in valid))
        return [
            *waiting,
            *(Outcome(lease=lease, kind="done" if lease in records else "lost") for lease in by_lease),
        ]

    async def _roll(
        self, tenant: str, store_id: str, records: dict[str, FileRecord], leases: list[str], error: Exception
    ) -> list[Outcome]:
        """Bring the ledger in step with the index, after whatever was written is there; the rest waits again."""
        if records:
            store = await self._stores.get(tenant, store_id)
            file_ids = frozenset(record.file_id for record in records.values())
            await roll(store, self._indexes, self._ledger, file_ids)
        counted = not isinstance(error, NOT_THE_FILES_FAULT)
        return await self._put_back(leases, self._pause_s(1), OURS, counted=counted)

    async def _put_back(self, leases: list[str], pause: float, error: str, *, counted: bool) -> list[Outcome]:
        back = await self._jobs.put_back(leases, due_s=self._now_s() + pause, counted=counted, error=error)
        dead = sum(kind == "dead" for kind in back.values())
        if dead:
            self._metrics.files.labels("failed").inc(dead)
        return [Outcome(lease=lease, kind=kind, after_s=pause, error=error) for lease, kind in back.items()]

    def _lock(self, store_id: str) -> asyncio.Lock:
        return self._locks.setdefault(store_id, asyncio.Lock())


async def roll(store: Store, indexes: IndexDirectory, ledger: Ledger, file_ids: frozenset[str]) -> None:
    """Settle files whose writing was broken off: completed where the index holds them, queued where not."""
    index = await indexes.of(store)
    ctx = start_context(principal=Principal(tenant=store.tenant), timeout_s=WRITE_TIMEOUT_S)
    # Writes are done in the order they came, so one that removes nothing ends after those that were broken off.
    nothing = np.empty((0, store.dimension), dtype=np.float32)
    await index.write([], nothing, [Removal(file_id="-")], ctx)
    await recover(store, index, ledger, ctx, only=file_ids)


def _indexing(finished: Finished, record: FileRecord) -> FileRecord:
    """Attributes given when it was attached, or changed since, go before those that the document says itself."""
    return msgspec.structs.replace(
        record,
        status="indexing",
        stamp=finished.stamp,
        pending_version=finished.version,
        pending_chunks=len(finished.chunks),
        attributes={**finished.attributes, **record.attributes},
        reason=None,
        error="",
    )


def _known(finished: Finished) -> set[str]:
    """The hashes for which the worker hands in no vector."""
    return {finished.embedded[place] for place in finished.known}


def _whole(finished: Finished, rows: Vectors, known: Mapping[str, tuple[Vector, str]]) -> Vectors:
    """A vector for each chunk: those that were handed in, and those that the store has."""
    if not finished.known:
        return rows
    whole = np.empty((len(finished.chunks), rows.shape[1]), np.float32)
    there = np.zeros(len(finished.chunks), np.bool_)
    there[list(finished.known)] = True
    whole[~there] = rows
    for place in finished.known:
        whole[place] = known[finished.embedded[place]][0]
    return whole


def _entries(finished: Finished, record: FileRecord, known: Mapping[str, tuple[Vector, str]]) -> list[Entry]:
    there = set(finished.known)
    return [
        Entry(
            chunk=chunk,
            file_id=record.file_id,
            filename=record.filename,
            title=finished.title,
            version=finished.version,
            attributes=record.attributes,
            groups=record.groups,
            embedded=name,
            # A vector that is not new has been rounded: what tells whether it is whole is the sketch of the first one.
            sketch=known[name][1] if place in there else "",
        )
        for place, (chunk, name) in enumerate(zip(finished.chunks, finished.embedded, strict=True))
    ]
