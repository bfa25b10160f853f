"""A store moves to another encoder while it is searched and written to.

1. copy     a second index gets the new encoder's vectors (reembed.py), beside the one that answers
2. again    what was written meanwhile is copied, until that is little
3. switch   with nobody writing, the rest is copied, and one row of the catalog says which index answers

Searches that began before the switch end on the old index, which is closed a while later and kept on the disk. Killed
at any moment, the store answers from one index or the other, whole, and the copy goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.catalog.ledger import Ledger
from penstock.catalog.stores import Stores
from penstock.core.context import start_context
from penstock.core.ports import Embedder
from penstock.core.types import Entry, Principal, Store
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.reembed import Reembedded, Reembedding
from penstock.pipeline.writers import Writers

FEW_FILES = 64
"""So many may be left for the switch, which keeps writes waiting."""
MOST_PASSES = 20
"""A store that changes faster than it is copied is switched all the same."""
MOVE_TIMEOUT_S = 7 * 24 * 3600.0


class Moving:
    """Moves one store after another to `embedder`."""

    def __init__(
        self,
        *,
        embedder: Embedder,
        stores: Stores,
        ledger: Ledger,
        indexes: IndexDirectory,
        writers: Writers,
        text_of: Callable[[Entry], str],
        report: Callable[[Store, Reembedded], None],
    ) -> None:
        """`text_of` is what the encoder reads of a passage."""
        self._embedder = embedder
        self._stores = stores
        self._ledger = ledger
        self._indexes = indexes
        self._writers = writers
        self._text_of = text_of
        self._report = report

    async def waiting(self) -> list[Store]:
        """Stores of all tenants that still have another encoder's vectors."""
        return [store for store in await self._stores.list(None) if store.embedder != self._embedder.model]

    async def move(self, store: Store) -> Reembedded:
        """Searches that have begun still find the old index open, until `leave`.

        Raises NotFound when the store is deleted meanwhile, DiskFull, StageUnavailable; then nothing has changed.
        """
        try:
            return await self._move(store)
        except Exception:
            await self._stores.get(store.tenant, store.id)  # NotFound explains all else
            raise

    async def leave(self, store: Store) -> None:
        """Close the index that a store had, as it was before it moved."""
        await self._indexes.close(store)

    async def _move(self, store: Store) -> Reembedded:
        renewed = msgspec.structs.replace(store, embedder=self._embedder.model, dimension=self._embedder.dimension)
        copying = Reembedding(
            store=store,
            source=await self._indexes.of(store),
            target=await self._indexes.of(renewed),
            embedder=self._embedder,
            text_of=self._text_of,
            report=lambda done: self._report(store, done),
        )
        ctx = start_context(principal=Principal(tenant=store.tenant), timeout_s=MOVE_TIMEOUT_S, priority="ingestion")
        for _ in range(MOST_PASSES):
            if await copying.run(await self._ledger.all(store.id), ctx) <= FEW_FILES:
                break
        async with self._writers.alone(store.id):
            await copying.run(await self._ledger.all(store.id), ctx)
            await self._stores.get(store.tenant, store.id)  # as long as it is there
            await self._stores.switch(store, embedder=renewed.embedder, dimension=renewed.dimension)
        return copying.done
