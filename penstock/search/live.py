"""The live segment: one Qdrant Edge shard that takes writes and is searched exactly. Synchronous, thread-safe.

How a write is all or nothing, for searches beside it and through a kill at any moment:

1. begin    a marker point is stored: "write N is under way"
2. stage    the new chunks are inserted, each marked N, in places that nothing occupies (points.point_ids).
            Searches run on; their filter leaves out what is marked N.
3. commit   ONE operation deletes the old chunks and the marker. Searches stop leaving out N in the same
            instant: the gate lets no search run across it.
4. sync     flush. Only now is the write acknowledged.

The shard's log is a sequence of operations of which a crash keeps a prefix. A marker that is still there
when the shard is opened means that 3 did not happen: everything marked N is deleted, and the old chunks
are as they were. No marker: the write happened in full.
"""

from __future__ import annotations

import itertools
import secrets
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import numpy as np
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    HasIdCondition,
    IntegerIndexParams,
    MatchValue,
    Modifier,
    PayloadSchemaType,
    Point,
    QueryBatchRequest,
    QueryRequest,
    Record,
    ScoredPoint,
    ScrollRequest,
    UpdateOperation,
    VectorStorageDatatype,
)

from penstock.core.errors import DataDamaged
from penstock.core.types import Entry, Removal, Vector, Vectors
from penstock.search.filters import FILE_KEY, GROUPS, TOKENS, WRITE, keyed, numbers, of_file
from penstock.search.gate import Gate
from penstock.search.manifest import Manifest, sync_folder
from penstock.search.points import CHECK, DENSE, EMBEDDED, ENTRY, SPARSE, VERSION, entry_of, point_ids, point_of
from penstock.search.proof import agree
from penstock.search.translate import translated
from penstock.search.words import Words

if TYPE_CHECKING:
    from qdrant_edge import ConditionType, PointId  # names of the type stubs only

MARKER = UUID(int=0)
"""The point that says that a write is under way. It has no vectors, so no search finds it."""

STAGE_AT_ONCE = 16
"""Points of one insertion. Meanwhile the shard lets no search in, nor any other thread of Python: 1 ms or so."""

MAX_LOOKUPS = 8
"""Pages read to find vectors that are there already: a text that stands in ten thousand files is found soon."""

NEVER = 2**40
"""Kilobytes of vectors after which the shard would build a graph by itself: never, as that blocks searches."""


MATCHED = IntegerIndexParams(lookup=True, range=False)
"""An index of numbers that many points share: 65 bytes of memory a point. Looked up and ordered it takes 170."""

ORDERED = IntegerIndexParams(lookup=False, range=True)
"""An index of numbers that are nearly all different: 110 bytes of memory a point, where looking up takes 310."""


class SegmentClosed(RuntimeError):
    """The segment is not open, or not any more: another has taken its place."""


class LiveSegment:
    """One shard. `search` and `retrieve` may be called by many threads, the others by one at a time."""

    def __init__(self, *, folder: Path, manifest: Manifest, words: Words) -> None:
        self._folder = folder
        self._manifest = manifest
        self._words = words
        self._gate = Gate()
        self._shard: EdgeShard | None = None
        self._unfinished: int | None = None
        self._number_fields: set[str] = set()
        self._writing = threading.Lock()
        self._suspect = False
        self._count = 0

    # --- opening and closing ---

    def exists(self) -> bool:
        """Whether there is anything to open."""
        return self._folder.exists()

    def open(self) -> None:
        """Open the shard, and take back what a crash left half done."""
        with translated(self._folder.parent):
            self._shard = EdgeShard.load(str(self._folder))
            self._take_back()
            self._number_fields = set(self._shard.info().payload_schema)

    def close(self) -> None:
        """Sync and let go. Nothing acknowledged depends on it."""
        shard, self._shard = self._shard, None
        if shard is not None:
            with translated(self._folder.parent), self._gate.alone():
                shard.close()

    def create(self) -> None:
        """A new shard, made beside its place and then moved there, so that a crash leaves all of it or nothing."""
        beside = self._folder.with_name(f"{self._folder.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        datatype = VectorStorageDatatype.Turbo8 if self._manifest.vector_bits == 8 else VectorStorageDatatype.Turbo16
        shard = EdgeShard.create(
            str(beside),
            EdgeConfig(
                vectors={DENSE: EdgeVectorParams(self._manifest.dimension, Distance.Dot, datatype=datatype)},
                sparse_vectors={SPARSE: EdgeSparseVectorParams(modifier=Modifier.Idf)},
                optimizers=EdgeOptimizersConfig(indexing_threshold=NEVER),
            ),
        )
        for field in (TOKENS, GROUPS):
            shard.update(UpdateOperation.create_field_index(field, PayloadSchemaType.Keyword))
        shard.update(UpdateOperation.create_field_index(WRITE, MATCHED))
        shard.update(UpdateOperation.create_field_index(FILE_KEY, ORDERED))
        shard.flush()
        shard.close()
        beside.rename(self._folder)
        sync_folder(self._folder.parent)

    @property
    def _open_shard(self) -> EdgeShard:
        if self._shard is None:
            raise SegmentClosed("the segment is not open")
        return self._shard

    def _take_back(self) -> None:
        """Delete what an unfinished write has staged, and its marker."""
        shard = self._open_shard
        for marker in shard.retrieve([MARKER], True, False):
            number = (marker.payload or {})[WRITE]
            staged = Filter(should=[FieldCondition(WRITE, match=MatchValue(number)), HasIdCondition({MARKER})])
            shard.update(UpdateOperation.delete_points_by_filter(staged))
        with self._gate.alone():
            self._unfinished = None
            self._count = shard.info().points_count

    # --- writing ---

    def apply(self, upserts: Sequence[Entry], vectors: Vectors, removals: Sequence[Removal]) -> None:
        """Make a write visible, as a whole; it is durable after the next `flush`.

        Removals look at what was there before; the upserts of the same write survive them.
        """
        with self._writing, translated(self._folder.parent):
            if self._suspect:
                self._reopen()
            if self._unfinished is not None:
                self._take_back()
            try:
                self._apply(upserts, vectors, removals)
            except BaseException:
                self._suspect = True  # searches go on without the half-written part; the next write clears it away
                raise

    def _apply(self, upserts: Sequence[Entry], vectors: Vectors, removals: Sequence[Removal]) -> None:
        shard = self._open_shard
        number = secrets.randbits(62)
        rows = {entry.chunk.id: row for row, entry in enumerate(upserts)}
        places, replaced = self._places(list(rows))
        self._index_numbers(upserts)
        with self._gate.alone():
            self._unfinished = number
        shard.update(UpdateOperation.upsert_points([Point(MARKER, {}, {WRITE: number})]))
        staged = list(rows.items())
        for start in range(0, len(staged), STAGE_AT_ONCE):
            points = [
                self._point(upserts[row], vectors, row, places[chunk_id], number)
                for chunk_id, row in staged[start : start + STAGE_AT_ONCE]
            ]
            shard.update(UpdateOperation.upsert_points(points))
        outdated: list[ConditionType] = [HasIdCondition({MARKER, *replaced})]
        outdated += [_outdated(removal) for removal in removals]
        commit = Filter(should=outdated, must_not=[self._staged(number)])
        with self._gate.alone():
            shard.update(UpdateOperation.delete_points_by_filter(commit))
            self._unfinished = None
            self._count = shard.info().points_count

    def _staged(self, number: int) -> Filter:
        """The chunks of write `number`, without its marker."""
        return Filter(must=[FieldCondition(WRITE, match=MatchValue(number))], must_not=[HasIdCondition({MARKER})])

    def _point(self, entry: Entry, vectors: Vectors, row: int, place: UUID, number: int) -> Point:
        return point_of(entry, vectors[row], place=place, write=number, words=self._words)

    def _places(self, chunk_ids: Sequence[str]) -> tuple[dict[str, UUID], list[PointId]]:
        """A free place for each chunk, and the places that the commit frees."""
        both = {chunk_id: point_ids(chunk_id) for chunk_id in chunk_ids}
        every: list[PointId] = [place for pair in both.values() for place in pair]
        taken = {record.id for record in self._open_shard.retrieve(every, False, False)}
        free = {chunk_id: second if first in taken else first for chunk_id, (first, second) in both.items()}
        return free, [place for place in every if place in taken]

    def _index_numbers(self, upserts: Sequence[Entry]) -> None:
        """An index for each numeric attribute that is seen for the first time."""
        seen = {field for entry in upserts for field in numbers(entry.attributes)}
        for field in sorted(seen - self._number_fields):
            self._open_shard.update(UpdateOperation.create_field_index(field, PayloadSchemaType.Float))
            self._number_fields.add(field)

    def flush(self) -> None:
        """Make everything applied so far survive a power cut."""
        with self._writing, translated(self._folder.parent):
            try:
                self._open_shard.flush()
            except BaseException:
                # After a failed sync the system may have dropped the pages: what is in memory proves nothing.
                self._suspect = True
                raise

    def _reopen(self) -> None:
        """Read the shard from disk again after an error, so that memory and disk agree."""
        with self._gate.alone():
            self._open_shard.close()
            self._shard = EdgeShard.load(str(self._folder))
        self._take_back()
        self._suspect = False

    # --- reading ---

    def shared(self) -> AbstractContextManager[None]:
        """Hold this around `query`, `retrieve` and `unfinished` that must see the same state."""
        return self._gate.shared()

    @property
    def unfinished(self) -> int | None:
        """The number of the write whose chunks are not to be seen."""
        return self._unfinished

    def query(self, requests: Sequence[QueryRequest]) -> list[list[ScoredPoint]]:
        """Answer all requests in one pass. Releases the GIL."""
        return self._open_shard.query_batch(QueryBatchRequest(list(requests)))

    def retrieve(self, ids: Sequence[UUID], fields: Sequence[str]) -> list[Record]:
        """The payloads of points, in any order."""
        return self._open_shard.retrieve(list(ids), list(fields), False)

    def entries(self, page: int = 1000, *, file_id: str | None = None) -> Iterator[tuple[Entry, Vector]]:
        """Every finished chunk, or those of one file; what is written between two pages may be seen in part.

        Raises DataDamaged for a passage that is not what was written.
        """
        wanted = [] if file_id is None else of_file(file_id)
        for records in self._pages(wanted, page):
            for record in records:
                yield entry_of(record.id, record.payload or {}), _dense(record)

    def embedded(self, hashes: Sequence[str]) -> dict[str, tuple[Vector, str]]:
        """Vector and sketch of what the store has embedded already, by the hash of what the encoder read."""
        found: dict[str, tuple[Vector, str]] = {}
        missing = set(hashes)
        if not missing:
            return found
        wanted: list[ConditionType] = [Filter(should=[keyed(EMBEDDED, each) for each in missing])]
        for records in itertools.islice(self._pages(wanted, max(64, 2 * len(hashes))), MAX_LOOKUPS):
            for record in records:
                entry, vector = entry_of(record.id, record.payload or {}), _dense(record)
                if entry.embedded in missing and agree([entry.sketch], vector[np.newaxis])[0]:
                    found[entry.embedded] = vector, entry.sketch
                    missing.remove(entry.embedded)
            if not missing:
                break
        return found

    def find_by_text(self) -> None:
        """Make the index that `embedded` needs, where there is none. It takes some 110 bytes of memory a chunk."""
        if EMBEDDED not in self._open_shard.info().payload_schema:
            with translated(self._folder.parent):
                self._open_shard.update(UpdateOperation.create_field_index(EMBEDDED, ORDERED))

    def damaged(self, page: int = 1000) -> int:
        """How many passages are not what was written. Reads all of the store."""
        count = 0
        for records in self._pages([], page):
            sketches, vectors = [], []
            for record in records:
                try:
                    entry, vector = entry_of(record.id, record.payload or {}), _dense(record)
                    sketches.append(entry.sketch)
                    vectors.append(vector)
                except (DataDamaged, msgspec.DecodeError):
                    count += 1
            if vectors:
                count += int((~agree(sketches, np.stack(vectors))).sum())
        return count

    def _pages(self, wanted: Sequence[ConditionType], page: int) -> Iterator[list[Record]]:
        offset: PointId | None = None
        while True:
            with self._gate.shared():
                hidden: list[ConditionType] = [HasIdCondition({MARKER})]
                if self._unfinished is not None:
                    hidden.append(FieldCondition(WRITE, match=MatchValue(self._unfinished)))
                request = ScrollRequest(
                    offset=offset,
                    limit=page,
                    filter=Filter(must=[*wanted], must_not=hidden),
                    with_payload=[ENTRY, CHECK],
                    with_vector=[DENSE],
                )
                records, offset = self._open_shard.scroll(request)
            yield records
            if offset is None:
                return

    def holds(self, file_id: str, version: str) -> int:
        """Finished chunks of that version of the file."""
        wanted = [*of_file(file_id), FieldCondition(VERSION, match=MatchValue(version))]
        with self._gate.shared():
            staged = [] if self._unfinished is None else [self._staged(self._unfinished)]
            return self._open_shard.count(CountRequest(filter=Filter(must=[*wanted], must_not=[*staged]), exact=True))

    def count(self) -> int:
        """Finished chunks."""
        return self._count


def _dense(record: Record) -> Vector:
    """Raises DataDamaged for a passage whose vector is marked as deleted: ours go only together with theirs."""
    vectors = record.vector
    if not isinstance(vectors, dict) or DENSE not in vectors:
        raise DataDamaged(f"The passage at {record.id} has lost its vector.")
    return np.asarray(vectors[DENSE], np.float32)


def _outdated(removal: Removal) -> Filter:
    """The chunks that a removal takes out."""
    wanted = of_file(removal.file_id)
    if removal.keep_version is None:
        return Filter(must=wanted)
    return Filter(must=wanted, must_not=[FieldCondition(VERSION, match=MatchValue(removal.keep_version))])
