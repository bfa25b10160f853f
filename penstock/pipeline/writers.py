"""Who writes to a store's index, so that a switch to another index finds nobody half way."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Writers:
    """Writes share a store, runs of an ingestion take turns, and a switch is alone.

    A write asks for the store's row when it is inside, since before that the store may have been switched. A switch
    waits for a run without keeping writes out, and for writes with the next ones waiting: as long as one write takes.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside: defaultdict[str, int] = defaultdict(int)
        self._switching: set[str] = set()
        self._runs: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def shared(self, store_id: str) -> AsyncIterator[None]:
        """A block that writes once or twice."""
        async with self._changed:
            await self._changed.wait_for(lambda: store_id not in self._switching)
            self._inside[store_id] += 1
        try:
            yield
        finally:
            self._inside[store_id] -= 1
            if not self._inside[store_id]:
                del self._inside[store_id]
                await asyncio.shield(self._tell())

    @asynccontextmanager
    async def run(self, store_id: str) -> AsyncIterator[None]:
        """A block that writes again and again."""
        async with self._run_lock(store_id):
            yield

    @asynccontextmanager
    async def alone(self, store_id: str) -> AsyncIterator[None]:
        """A block in which nobody else writes to the store."""
        async with self._run_lock(store_id):
            self._switching.add(store_id)
            try:
                async with self._changed:
                    await self._changed.wait_for(lambda: not self._inside.get(store_id))
                yield
            finally:
                self._switching.discard(store_id)
                await asyncio.shield(self._tell())

    def _run_lock(self, store_id: str) -> asyncio.Lock:
        return self._runs.setdefault(store_id, asyncio.Lock())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
