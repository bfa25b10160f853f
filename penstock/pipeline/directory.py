"""The open indexes, one per vector store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from penstock.core.errors import NotFound
from penstock.core.ports import Index
from penstock.core.types import Entry, Store, Vector, Vectors


class OpenIndex(Index, Protocol):
    """An index with a beginning and an end, which can be asked what it holds."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def count(self) -> int:
        """How many chunks there are."""
        ...

    async def holds(self, file_id: str, version: str) -> int:
        """How many chunks there are of that version of the file."""
        ...

    async def files(self) -> set[str]:
        """Ids of the files of which there are chunks."""
        ...

    async def entries_of(self, file_id: str) -> tuple[list[Entry], Vectors]:
        """The file's chunks in their order, as they are stored."""
        ...

    async def embedded(self, hashes: Sequence[str]) -> dict[str, tuple[Vector, str]] | None:
        """Vector and sketch of what is there already, by the hash of what the encoder read.

        None where nothing is to be used again.
        """
        ...


_Key = tuple[str, str]
"""A store's id and the encoder whose vectors its index holds."""


class IndexDirectory:
    """Opens a store's index on first use and keeps it; `stop` closes them all.

    While a store moves to another encoder it has two.

    `open_index` makes the unstarted index of a store. Two callers who ask at once wait for one opening, and it goes on
    when they leave: cut off half way, a second one would find the files of the first under its hands.
    """

    def __init__(self, *, open_index: Callable[[Store], OpenIndex]) -> None:
        self._open_index = open_index
        self._open: dict[_Key, OpenIndex] = {}
        self._opening: dict[_Key, asyncio.Task[OpenIndex]] = {}
        self._gone: set[tuple[str, float]] = set()
        self._lock = asyncio.Lock()

    async def of(self, store: Store) -> OpenIndex:
        """The store's index, started. Raises DataDamaged, BadSetting for another model's store, NotFound."""
        key = (store.id, store.embedder)
        index = self._open.get(key)
        if index is not None:
            return index
        task = self._opening.get(key)
        if task is None:
            task = asyncio.create_task(self._start(store), name=f"open:{store.id}")
            self._opening[key] = task
            task.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(task)

    async def _start(self, store: Store) -> OpenIndex:
        async with self._lock:
            if (store.id, store.created_s) in self._gone:
                raise NotFound("vector store", store.id)
            key = (store.id, store.embedder)
            if key not in self._open:
                index = self._open_index(store)
                await index.start()
                self._open[key] = index
            return self._open[key]

    def _opened(self, key: _Key, task: asyncio.Task[OpenIndex]) -> None:
        self._opening.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever still waits hears of it; when all have left, nobody needs to

    async def close(self, store: Store) -> None:
        """Close the index of the store's encoder, if it is open."""
        async with self._lock:
            index = self._open.pop((store.id, store.embedder), None)
            if index is not None:
                await index.stop()

    async def close_for_good(self, store: Store) -> None:
        """Close what is open of a store that is being deleted: nobody who still knows the store opens it again."""
        self._gone.add((store.id, store.created_s))
        for store_id, embedder in list(self._open):
            if store_id == store.id:
                await self.close(msgspec.structs.replace(store, embedder=embedder))

    async def stop(self) -> None:
        """Close every index; each is tried even when another fails."""
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        async with self._lock:
            closing: list[Awaitable[None]] = [index.stop() for index in self._open.values()]
            self._open.clear()
        results = await asyncio.gather(*closing, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
