"""Files into stores and out of them. Whatever is answered holds: in the ledger, in the index, and after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

import msgspec
import numpy as np

from penstock.catalog.attachments import Attachments, Batch, Wanted
from penstock.catalog.stores import Stores
from penstock.core.context import Context, start_context
from penstock.core.errors import Conflict
from penstock.core.types import AttributeValue, FileRecord, Principal, Removal, Store
from penstock.embed.encoders import Encoders
from penstock.pipeline.backlog import Backlog
from penstock.pipeline.desk import Desk
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.outbox import Outbox
from penstock.pipeline.writers import Writers

CHANGE_TIMEOUT_S = 600.0


class Attaching:
    """Everything here takes a store that was looked up by the caller's tenant."""

    def __init__(
        self,
        *,
        stores: Stores,
        attachments: Attachments,
        indexes: IndexDirectory,
        desk: Desk,
        outbox: Outbox,
        backlog: Backlog,
        encoders: Encoders,
        writers: Writers,
    ) -> None:
        self._stores = stores
        self._attachments = attachments
        self._indexes = indexes
        self._desk = desk
        self._outbox = outbox
        self._backlog = backlog
        self._encoders = encoders
        self._writers = writers
        self._changing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Finish what a crash left between ledger and index."""
        for store_id, file_id, change in await self._attachments.unfinished():
            store = next(store for store in await self._stores.list(None) if store.id == store_id)
            ctx = start_context(principal=Principal(tenant=store.tenant), timeout_s=CHANGE_TIMEOUT_S)
            if change == "removed":
                await self._remove(store, file_id, ctx)
            else:
                await self._rewrite(store, file_id, ctx)

    async def attach(self, store: Store, wanted: Wanted) -> FileRecord:
        """A row that is accepted: it will end as completed, or as failed with its reason.

        Raises Overloaded while too much waits, Conflict for a store of another encoder.
        """
        self._check(store)
        await self._backlog.check(1)
        (record,) = await self._attachments.attach(store.tenant, store.id, [wanted])
        self._outbox.wake.set()
        return record

    async def attach_batch(self, store: Store, wanted: Sequence[Wanted]) -> Batch:
        """The same for many, all or none."""
        self._check(store)
        await self._backlog.check(len(wanted))
        batch = await self._attachments.attach_batch(store.tenant, store.id, wanted)
        self._outbox.wake.set()
        return batch

    async def detach(self, store: Store, file_id: str, ctx: Context) -> None:
        """The file is in no search that begins after this returns, nor after any crash. Raises NotFound."""
        async with self._changing_file(store, file_id) as current:
            if not await self._attachments.detach(current.id, file_id, at_rest=True):
                async with self._desk.held(current.id):
                    await self._attachments.detach(current.id, file_id, at_rest=False)
                    await self._remove(current, file_id, ctx)
            else:
                await self._remove(current, file_id, ctx)

    async def update(
        self, store: Store, file_id: str, ctx: Context, *, attributes: dict[str, AttributeValue]
    ) -> FileRecord:
        """New attributes; nothing is embedded again. Raises NotFound."""
        return await self._change(store, file_id, ctx, attributes=attributes)

    async def _change(self, store: Store, file_id: str, ctx: Context, **changes: Any) -> FileRecord:
        async with self._changing_file(store, file_id) as current:
            record = await self._attachments.change(current.id, file_id, at_rest=True, **changes)
            if record is None:
                async with self._desk.held(current.id):
                    record = await self._attachments.change(current.id, file_id, at_rest=False, **changes)
                    assert record is not None, "asked for whatever its state"
            if record.version is not None:
                await self._rewrite(current, file_id, ctx)
            return record

    async def _remove(self, store: Store, file_id: str, ctx: Context) -> None:
        index = await self._indexes.of(store)
        await index.write([], _none(store), [Removal(file_id=file_id)], ctx)
        await self._attachments.finished(store.id, file_id)

    async def _rewrite(self, store: Store, file_id: str, ctx: Context) -> None:
        """Give the file's chunks the attributes and groups of its row."""
        record = await self._attachments.row(store.id, file_id)
        index = await self._indexes.of(store)
        entries, vectors = await index.entries_of(file_id)
        changed = [
            msgspec.structs.replace(entry, attributes=record.attributes, groups=record.groups) for entry in entries
        ]
        await index.write(changed, vectors, [], ctx)
        await self._attachments.finished(store.id, file_id)

    @asynccontextmanager
    async def _changing_file(self, store: Store, file_id: str) -> AsyncIterator[Store]:
        """A block in which nobody else changes the file, nor moves the store; the store as it is in it."""
        lock = self._changing.setdefault((store.id, file_id), asyncio.Lock())
        async with self._writers.shared(store.id), lock:
            yield await self._stores.get(store.tenant, store.id)

    def _check(self, store: Store) -> None:
        """Raise Conflict where the store holds vectors of another encoder."""
        if store.embedder not in self._encoders.models:
            raise Conflict(
                f"Vector store '{store.name}' holds vectors of {store.embedder}, and the server's encoder is "
                f"{self._encoders.current.model}. Attach to a new store.",
                param="vector_store_id",
            )


def _none(store: Store) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.empty((0, store.dimension), dtype=np.float32)
