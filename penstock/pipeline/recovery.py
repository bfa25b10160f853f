"""What a crash left half done is rolled forward or back before a store is served.

The ledger is written before and after the index. A row still `indexing` is one of two: the index holds all of the
pending version (then the row is completed and older chunks go), or it does not (then the pending chunks go and
the row is queued again, so that the same command, or the queue, does the work once more).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Protocol

import msgspec
import numpy as np

from penstock.catalog.database import Database
from penstock.catalog.lost import read_again
from penstock.core.context import Context
from penstock.core.types import FileRecord, FileStatus, Removal, Store
from penstock.pipeline.directory import OpenIndex
from penstock.pipeline.document import completed

log = logging.getLogger("penstock.recovery")


class Records(Protocol):
    """The part of the ledger that recovery needs."""

    async def in_state(self, store_id: str, status: FileStatus) -> list[FileRecord]: ...

    async def put(self, records: Iterable[FileRecord]) -> None: ...


async def recover(
    store: Store, index: OpenIndex, records: Records, ctx: Context, *, only: Collection[str] | None = None
) -> int:
    """Settle every file that was being written when the process died. Returns how many there were.

    `only` names the files of a run that was broken off while others go on. Doing it twice, or dying in the middle
    of it, changes nothing.
    """
    unsettled = await records.in_state(store.id, "indexing")
    if only is not None:
        unsettled = [record for record in unsettled if record.file_id in only]
    if not unsettled:
        return 0
    removals: list[Removal] = []
    settled: list[FileRecord] = []
    for record in unsettled:
        forward = await index.holds(record.file_id, record.pending_version or "") == record.pending_chunks
        keep = record.pending_version if forward else record.version
        removals.append(Removal(file_id=record.file_id, keep_version=keep))
        settled.append(completed(record) if forward else _queued(record))
    nothing = np.empty((0, store.dimension), dtype=np.float32)
    await index.write([], nothing, removals, ctx)
    await records.put(settled)
    return len(settled)


async def refill(store: Store, index: OpenIndex, database: Database) -> int:
    """Have the files read again that an index held which is gone, as when it was damaged and moved away. How many."""
    if await index.count():
        return 0
    lost = await read_again(database, store.id)
    if lost:
        log.warning(
            "store '%s' has lost its index: %d files are read again, those of a folder by the next `penstock ingest`",
            store.name,
            lost,
        )
    return lost


def _queued(record: FileRecord) -> FileRecord:
    return msgspec.structs.replace(record, status="queued", stamp="", pending_version=None, pending_chunks=0)
