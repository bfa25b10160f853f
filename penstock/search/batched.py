"""Questions of many callers to one store become one pass over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.core.context import Context, start_context
from penstock.core.types import Entry, Found, Principal, Query, Removal, Vector, Vectors
from penstock.flow.batcher import Batcher, BatchReport
from penstock.search.dump import Line
from penstock.search.edge import EdgeIndex

BATCH_TIMEOUT_S = 60.0
NOBODY = Principal(tenant="", scopes=())
"""A batch carries questions of several callers and is nobody's; each question has its own filter."""


class BatchedIndex:
    """Wraps an `EdgeIndex`: searches in batches, everything else straight through. Starts and stops with it."""

    def __init__(
        self,
        *,
        index: EdgeIndex,
        max_items: int = 32,
        max_waiting: int = 4_096,
        workers: int = 1,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self._index = index
        self._batcher: Batcher[tuple[Query, Vector], Found] = Batcher(
            name="search",
            run=self._run,
            max_items=max_items,
            max_waiting=max_waiting,
            workers=workers,
            observe=observe,
        )

    async def start(self) -> None:
        await self._index.start()

    async def stop(self) -> None:
        await self._batcher.stop()
        await self._index.stop()

    async def search(self, query: Query, vector: Vector, ctx: Context) -> Found:
        """Raises Overloaded when too many wait, DeadlineExceeded, InvalidRequest for a bad filter."""
        return await self._batcher.submit((query, vector), ctx)

    async def search_many(self, questions: Sequence[tuple[Query, Vector]], ctx: Context) -> list[Found]:
        """Several questions of one caller; they may share passes with others."""
        return await self._batcher.submit_many(questions, ctx)

    async def write(
        self, upserts: Sequence[Entry], vectors: Vectors, removals: Sequence[Removal], ctx: Context
    ) -> None:
        await self._index.write(upserts, vectors, removals, ctx)

    async def holds(self, file_id: str, version: str) -> int:
        return await self._index.holds(file_id, version)

    async def count(self) -> int:
        return await self._index.count()

    async def files(self) -> set[str]:
        return await self._index.files()

    async def entries_of(self, file_id: str) -> tuple[list[Entry], Vectors]:
        return await self._index.entries_of(file_id)

    async def embedded(self, hashes: Sequence[str]) -> dict[str, tuple[Vector, str]] | None:
        return await self._index.embedded(hashes)

    async def dump(self) -> list[Line]:
        return await self._index.dump()

    async def _run(self, questions: Sequence[tuple[Query, Vector]]) -> Sequence[Found | BaseException]:
        ctx = start_context(principal=NOBODY, timeout_s=BATCH_TIMEOUT_S)
        return await self._index.search_many(questions, ctx)
