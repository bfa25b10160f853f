"""Uploaded files on their way into stores: what waits is claimed in groups, ingested, and settled.

A group that is broken off, by an error, a deletion or the end of the process, is brought in step with what the index
holds before its files wait again. So a file is completed once, failed with a reason, or waiting; never in between.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal, Protocol

import msgspec
import numpy as np

from penstock.catalog.attachments import Attachments, Claim
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
from penstock.core.ports import Embedder, Source
from penstock.core.types import AttributeValue, Chunk, Document, Principal, Removal
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.document import Ingestion, Reader
from penstock.pipeline.recovery import recover
from penstock.telemetry.metrics import Metrics

log = logging.getLogger("penstock.work")

GROUP_FILES = 64
"""Files that are ingested together: a deletion of one of them breaks off the work on all."""
GROUP_TIMEOUT_S = 3600.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
NOT_THE_FILES_FAULT = (Setup, Overloaded, StageUnavailable, DeadlineExceeded)
"""Errors that say nothing about the file: it waits, and its tries are not counted."""


class SizedReader(Reader, Protocol):
    """A reader with a beginning and an end, and with other budgets for passages."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def sized(self, chunk_tokens: int) -> Reader: ...


class UploadSource(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file that is to be ingested."""

    originals: Originals
    identity: str
    name: str
    stamp: str
    size_bytes: int
    attributes: dict[str, AttributeValue]
    kind: Literal["file", "record"] = "file"

    def read(self) -> bytes:
        """Blocks; raises BadDocument."""
        if not self.size_bytes:
            raise BadDocument("empty", "It is empty.")
        try:
            return self.originals.read(self.stamp)
        except DataDamaged as error:
            raise BadDocument("unreadable", "Its content is no longer there. Upload it again.") from error


class Attributed:
    """A reader whose documents have the attributes with which their files were attached."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def fingerprint(self) -> str:
        return self._reader.fingerprint

    async def parse(self, content: bytes, source: Source, *, tenant: str) -> Document:
        document = await self._reader.parse(content, source, tenant=tenant)
        assert isinstance(source, UploadSource), "this reader is made for uploads"
        return msgspec.structs.replace(document, attributes={**document.attributes, **source.attributes})

    async def split(self, document: Document, *, tenant: str, store_id: str, file_id: str) -> list[Chunk]:
        return await self._reader.split(document, tenant=tenant, store_id=store_id, file_id=file_id)

    def embedding_text(self, document: Document, chunk: Chunk) -> str:
        return self._reader.embedding_text(document, chunk)


class Running(msgspec.Struct, frozen=True):
    """A group under way. `settled` is set when nothing of it is under way any more."""

    claim: Claim
    task: asyncio.Task[object]
    settled: asyncio.Event

    def has(self, store_id: str, file_id: str | None) -> bool:
        """Whether the file (None: any of the store) is in the group."""
        mine = (record.file_id for record in self.claim.records)
        return self.claim.store_id == store_id and (file_id is None or file_id in mine)


class UploadWork:
    """Does one group after another, whenever `step` is called. `wake` is set when something was attached."""

    def __init__(
        self,
        *,
        stores: Stores,
        ledger: Ledger,
        attachments: Attachments,
        originals: Originals,
        indexes: IndexDirectory,
        embedder: Embedder,
        make_reader: Callable[[], SizedReader],
        metrics: Metrics,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._stores = stores
        self._ledger = ledger
        self._attachments = attachments
        self._originals = originals
        self._indexes = indexes
        self._embedder = embedder
        self._make_reader = make_reader
        self._metrics = metrics
        self._now_s = now_s
        self._reader: SizedReader | None = None
        self._running: Running | None = None
        self._unsettled: list[Running] = []
        self._claiming = asyncio.Lock()
        self.wake = asyncio.Event()

    async def stop(self) -> None:
        """After the last step has ended."""
        if self._reader is not None:
            await self._reader.stop()
            self._reader = None

    async def step(self) -> bool:
        """Do one group that is due; False when there is none. Cancelling it breaks the group off, and settles it."""
        while self._unsettled:
            await self._settle(self._unsettled[0])
            del self._unsettled[0]
        async with self._claiming:
            claim = await self._attachments.claim(now_s=self._now_s(), limit=GROUP_FILES)
            if claim is None:
                return False
            task: asyncio.Task[object] = asyncio.create_task(self._ingest(claim), name="upload-ingest")
            running = self._running = Running(claim, task, asyncio.Event())
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            try:
                await self._settle(running)
            except BaseException:
                self._unsettled.append(running)
                raise
            finally:
                self._running = None
                running.settled.set()
        return True

    async def wait(self, *, at_most_s: float) -> None:
        """Until something was attached, or something that waits is due."""
        due_s = await self._attachments.next_due_s()
        pause_s = at_most_s if due_s is None else min(at_most_s, max(0.05, due_s - self._now_s()))
        try:
            async with asyncio.timeout(pause_s):
                await self.wake.wait()
        except TimeoutError:
            return
        self.wake.clear()

    @asynccontextmanager
    async def held(self, store_id: str, file_id: str | None = None) -> AsyncIterator[None]:
        """A block in which nobody works on the file (None: on any of the store). Work on it is broken off first."""
        async with self._claiming:
            running = self._running
            if running is not None and running.has(store_id, file_id):
                running.task.cancel()
                await running.settled.wait()
            yield

    # --- one group ------------------------------------------------------------------------

    async def _ingest(self, claim: Claim) -> None:
        if self._reader is None:
            reader = self._make_reader()
            await reader.start()
            self._reader = reader
        store = await self._stores.get(claim.tenant, claim.store_id)
        ctx = start_context(principal=Principal(tenant=claim.tenant), timeout_s=GROUP_TIMEOUT_S, priority="ingestion")
        run = Ingestion(
            store=store,
            index=await self._indexes.of(store),
            embedder=self._embedder,
            reader=Attributed(self._reader.sized(claim.records[0].chunk_tokens)),
            records=self._ledger,
            metrics=self._metrics,
            file_id=lambda identity: identity,
        )
        await run.run(self._sources(claim), ctx)

    def _sources(self, claim: Claim) -> list[UploadSource]:
        return [
            UploadSource(
                originals=self._originals,
                identity=record.file_id,
                name=record.filename,
                stamp=sha256,
                size_bytes=record.size_bytes,
                attributes=record.attributes,
            )
            for record, sha256 in zip(claim.records, claim.contents, strict=True)
        ]

    async def _settle(self, running: Running) -> None:
        claim, task = running.claim, running.task
        file_ids = [record.file_id for record in claim.records]
        now_s = self._now_s()
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            await self._attachments.put_back(claim.store_id, file_ids, due_s=now_s, counted=True, error="Not finished.")
            return
        await self._roll(claim, file_ids)
        if error is None:
            await self._attachments.put_back(claim.store_id, file_ids, due_s=now_s, counted=False)
            return
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        counted = not isinstance(error, NOT_THE_FILES_FAULT)
        log.warning("work on %d files of %s will be tried again", len(file_ids), claim.store_id, exc_info=error)
        await self._attachments.put_back(
            claim.store_id,
            file_ids,
            due_s=now_s + pause_s(claim.tries),
            counted=counted,
            error="An error on our side; the log says which.",
        )

    async def _roll(self, claim: Claim, file_ids: list[str]) -> None:
        """Bring the ledger in step with the index, after whatever the group has written is there."""
        try:
            store = await self._stores.get(claim.tenant, claim.store_id)
        except NotFound:
            return  # deleted in the meantime, and its rows with it
        index = await self._indexes.of(store)
        ctx = start_context(principal=Principal(tenant=claim.tenant), timeout_s=GROUP_TIMEOUT_S)
        # Writes are done in the order they came, so one that removes nothing ends after those that were broken off.
        nothing = np.empty((0, store.dimension), dtype=np.float32)
        await index.write([], nothing, [Removal(file_id="-")], ctx)
        await recover(store, index, self._ledger, ctx, only=frozenset(file_ids))


def pause_s(tries: int) -> float:
    """Longer after each try, and never twice the same."""
    longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 4.0**tries)
    return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads tries, keeps no secret
