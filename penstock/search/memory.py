"""An index in memory, exact and plain: to try things out without a disk, and to check the others against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log
from uuid import UUID

import numpy as np

from penstock.config import SearchSettings
from penstock.core.context import Context
from penstock.core.types import Attributes, Comparison, Entry, Filter, Found, Query, Removal, Vector, Vectors
from penstock.search.dump import Line, line_of
from penstock.search.filters import attribute_token, check_filter
from penstock.search.fuse import fuse
from penstock.search.points import hit_of, point_ids
from penstock.search.words import MEAN_WORDS, Words, reach


class MemoryIndex:
    """Implements core.ports.Index. Every search looks at every chunk; nothing outlives the object."""

    def __init__(self, *, store_id: str, dimension: int, settings: SearchSettings) -> None:
        self._store_id = store_id
        self._dimension = dimension
        self._settings = settings
        self._words = Words(mean_words=MEAN_WORDS, language=settings.language)
        self._chunks: dict[UUID, tuple[Entry, Vector, dict[int, float]]] = {}

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def search(self, query: Query, vector: Vector, ctx: Context) -> Found:
        """The best `query.limit` chunks by meaning and by words together. Raises InvalidRequest for a bad filter."""
        return (await self.search_many([(query, vector)], ctx))[0]

    async def search_many(self, questions: Sequence[tuple[Query, Vector]], ctx: Context) -> list[Found]:
        """Several questions, each answered as if it had come alone."""
        ctx.check("search")
        return [self._search(query, vector) for query, vector in questions]

    def _search(self, query: Query, vector: Vector) -> Found:
        if query.filters is not None:
            check_filter(query.filters)
        asked = self._words.of_query(query.text).indices
        rarity = self._rarity(asked)
        dense: dict[UUID, float] = {}
        lexical: dict[UUID, float] = {}
        for key, (entry, row, weights) in self._chunks.items():
            if not visible(entry, query):
                continue
            dense[key] = float(np.dot(row, vector))
            if shared := [word for word in asked if word in weights]:
                lexical[key] = sum(rarity[word] * weights[word] for word in shared)
        ranked = fuse(
            dense, lexical, reach=reach(len(asked), len(self._chunks)), settings=self._settings, limit=query.limit
        )
        hits = [
            hit_of(self._chunks[c.id][0], store_id=self._store_id, score=c.score, dense=c.dense, lexical=c.lexical)
            for c in ranked
        ]
        return Found(hits=tuple(hits))

    def _rarity(self, asked: Sequence[int]) -> dict[int, float]:
        """BM25's inverse document frequency of the question's words."""
        chunks = len(self._chunks)
        holding = Counter(word for _, _, weights in self._chunks.values() for word in asked if word in weights)
        return {word: log(1 + (chunks - holding[word] + 0.5) / (holding[word] + 0.5)) for word in asked}

    async def write(
        self, upserts: Sequence[Entry], vectors: Vectors, removals: Sequence[Removal], ctx: Context
    ) -> None:
        """Visible as a whole when this returns. Durable only as long as the object is."""
        ctx.check("index")
        if vectors.shape != (len(upserts), self._dimension):
            raise ValueError(f"vectors of shape {vectors.shape} for {len(upserts)} entries of {self._dimension}")
        for removal in removals:
            for key, (entry, _, _) in list(self._chunks.items()):
                if entry.file_id == removal.file_id and entry.version != removal.keep_version:
                    del self._chunks[key]
        for entry, row in zip(upserts, vectors, strict=True):
            sparse = self._words.of_entry(entry)
            weights = dict(zip(sparse.indices, sparse.values, strict=True))
            self._chunks[point_ids(entry.chunk.id)[0]] = (entry, row.copy(), weights)

    async def count(self) -> int:
        """Chunks in the store."""
        return len(self._chunks)

    async def dump(self) -> list[Line]:
        """Every chunk, sorted."""
        return sorted(line_of(entry, row) for entry, row, _ in self._chunks.values())


def visible(entry: Entry, query: Query) -> bool:
    """Whether a query may see a chunk, by its access list and the query's filters."""
    if query.groups is not None and entry.groups and not set(entry.groups) & set(query.groups):
        return False
    return query.filters is None or matches(query.filters, entry.attributes)


def matches(filters: Filter, attributes: Attributes) -> bool:
    """What the table in search/filters.py says, in Python."""
    if not isinstance(filters, Comparison):
        results = (matches(each, attributes) for each in filters.filters)
        return all(results) if filters.type == "and" else any(results)
    if filters.type in ("gt", "gte", "lt", "lte"):
        return _in_range(filters, attributes)
    values = filters.value if isinstance(filters.value, tuple) else (filters.value,)
    equal = filters.key in attributes and attribute_token(filters.key, attributes[filters.key]) in {
        attribute_token(filters.key, value) for value in values
    }
    return equal if filters.type in ("eq", "in") else not equal


def _in_range(comparison: Comparison, attributes: Attributes) -> bool:
    have, bound = attributes.get(comparison.key), comparison.value
    if isinstance(have, (bool, str)) or have is None or isinstance(bound, (bool, str, tuple)):
        return False
    below, above = have < bound, have > bound
    return {"gt": above, "gte": not below, "lt": below, "lte": not above}[comparison.type]
