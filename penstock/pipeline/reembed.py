"""A store gets another encoder's vectors: a second index is made beside the one that answers, and then takes its place.

The passages come from the store itself, so no document is read again. What the second index has already, from a run
that was broken off or from the time before a switch, is kept: going back to the former encoder encodes only what has
changed since. The switch is one row of the catalog; killed at any moment, the store answers from one index or the
other, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from penstock.core.context import Context
from penstock.core.ports import Embedder
from penstock.core.types import Entry, FileRecord, Removal, Store
from penstock.pipeline.directory import OpenIndex
from penstock.pipeline.reuse import Once

GROUP_CHUNKS = 256
REMOVED_AT_ONCE = 256


class Reembedded(msgspec.Struct):
    """What a run has done so far."""

    files: int = 0
    chunks: int = 0
    encoded: int = 0
    kept: int = 0
    """Files that the second index had already."""


class Reembedding:
    """`run` copies what is not there yet.

    Where the store is written to meanwhile, the next run finds what changed; one in which nobody writes leaves both in
    step.
    """

    def __init__(
        self,
        *,
        store: Store,
        source: OpenIndex,
        target: OpenIndex,
        embedder: Embedder,
        text_of: Callable[[Entry], str],
        report: Callable[[Reembedded], None] | None = None,
    ) -> None:
        """`text_of` is what the new encoder reads of a passage."""
        self._store = store
        self._source = source
        self._target = target
        self._once = Once(index=target, embedder=embedder)
        self._dimension = embedder.dimension
        self._text_of = text_of
        self._report = report or (lambda _: None)
        self._waiting: list[Entry] = []
        self._settled: dict[str, int | None] | None = None
        """The files of the second index, with a digest of the row that it has them of; None before the first run."""
        self.done = Reembedded()

    async def run(self, records: Sequence[FileRecord], ctx: Context) -> int:
        """Bring the second index in step with the first, and say how many files that took. `records` are the store's
        rows.
        """
        there = {record.file_id: record for record in records if record.version is not None}
        before = self._settled
        settled = self._settled = {} if before is None else before
        took = 0
        for record in there.values():
            if settled.get(record.file_id) == _digest(record):
                continue
            entries, _ = await self._source.entries_of(record.file_id)
            if await self._has(record, entries):
                self.done.kept += before is None
            else:
                self._waiting += entries
                self.done.files += 1
                took += 1
            # What is written just now may be further than its row, or behind it: then the next run looks again.
            in_step = all(_is_of(entry, record) for entry in entries)
            settled[record.file_id] = _digest(record) if in_step else None
            if len(self._waiting) >= GROUP_CHUNKS:
                await self._write(ctx)
        await self._write(ctx)
        gone = sorted((await self._target.files() if before is None else settled.keys()) - there.keys())
        for start in range(0, len(gone), REMOVED_AT_ONCE):
            removals = [Removal(file_id=file_id) for file_id in gone[start : start + REMOVED_AT_ONCE]]
            await self._target.write([], np.empty((0, self._dimension), np.float32), removals, ctx)
        for file_id in gone:
            settled.pop(file_id, None)
        return took + len(gone)

    async def _has(self, record: FileRecord, entries: Sequence[Entry]) -> bool:
        """Whether the second index has the file just so, its attributes and access list included."""
        if await self._target.holds(record.file_id, record.version or "") != len(entries):
            return False
        others, _ = await self._target.entries_of(record.file_id)
        return [_shown(entry) for entry in others] == [_shown(entry) for entry in entries]

    async def _write(self, ctx: Context) -> None:
        entries, self._waiting = self._waiting, []
        if not entries:
            return
        encoded = await self._once.embed([self._text_of(entry) for entry in entries], ctx)
        renewed = [
            msgspec.structs.replace(entry, embedded=embedded, sketch=sketch)
            for entry, embedded, sketch in zip(entries, encoded.hashes, encoded.sketches, strict=True)
        ]
        versions = {entry.file_id: entry.version for entry in entries}
        removals = [Removal(file_id=file_id, keep_version=version) for file_id, version in versions.items()]
        await self._target.write(renewed, encoded.vectors, removals, ctx)
        self.done.chunks += len(entries)
        self.done.encoded += len(entries) - encoded.reused
        self._report(self.done)


def _digest(record: FileRecord) -> int:
    return hash((record.version, record.filename, record.groups, tuple(sorted(record.attributes.items()))))


def _is_of(entry: Entry, record: FileRecord) -> bool:
    """Whether the passage says what its file's row says."""
    row = (record.version, record.filename, record.groups, record.attributes)
    return (entry.version, entry.filename, entry.groups, entry.attributes) == row


def _shown(entry: Entry) -> Entry:
    """All of an entry that does not come from the encoder."""
    return msgspec.structs.replace(entry, embedded="", sketch="")
