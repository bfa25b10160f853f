"""Files in stores: the rows of the ledger that come with work to do, and the work.

A row and its job are written in one transaction, so that nothing is accepted and then forgotten. A job is there until
its row is at rest; a row that is being worked on is not `queued`, so that a cancellation takes only what waits.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.catalog.database import Database
from penstock.catalog.files import one_file
from penstock.catalog.jobs import add, drop_done
from penstock.catalog.ledger import UPSERT, record_of, stamped
from penstock.catalog.listing import READ, Page, one_row, page_of
from penstock.core.errors import Conflict, NotFound
from penstock.core.types import AttributeValue, FileRecord, FileStatus, Value

SETTLED: frozenset[FileStatus] = frozenset({"completed", "failed", "cancelled"})


class Wanted(Value, frozen=True):
    """A file to attach, and how."""

    file_id: str
    attributes: dict[str, AttributeValue] = msgspec.field(default_factory=dict)
    groups: tuple[str, ...] = ()
    chunk_tokens: int = 0


class Batch(Value, frozen=True):
    """Files that were attached together."""

    id: str
    store_id: str
    cancelled: bool
    created_s: float


class Attachments:
    """Reads and writes rows with their jobs. The store was looked up by its tenant before."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    # --- attaching --------------------------------------------------------------------

    async def attach(self, tenant: str, store_id: str, wanted: Sequence[Wanted]) -> list[FileRecord]:
        """Rows that wait, durable with their jobs; all or none. One that is there already, just so, is left alone.

        Raises NotFound for a file or store, Conflict for a file that is attached in another way.
        """
        return await self._database.run(lambda connection: _attach(connection, tenant, store_id, wanted))

    async def attach_batch(self, tenant: str, store_id: str, wanted: Sequence[Wanted]) -> Batch:
        """The same, remembered as a batch."""
        batch = Batch(id=f"vsfb_{secrets.token_hex(12)}", store_id=store_id, cancelled=False, created_s=time.time())

        def work(connection: sqlite3.Connection) -> Batch:
            records = _attach(connection, tenant, store_id, wanted)
            connection.execute(
                "INSERT INTO batches (id, store_id, created_s) VALUES (?, ?, ?)", (batch.id, store_id, batch.created_s)
            )
            connection.executemany(
                "INSERT INTO batch_files (batch_id, store_id, file_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [(batch.id, store_id, record.file_id) for record in records],
            )
            return batch

        return await self._database.run(work)

    async def batch(self, store_id: str, batch_id: str) -> Batch:
        """Raises NotFound."""
        return await self._database.run(lambda connection: _batch(connection, store_id, batch_id))

    async def batch_counts(self, batch_id: str) -> dict[FileStatus, int]:
        """The batch's files in each state that occurs."""

        def work(connection: sqlite3.Connection) -> dict[FileStatus, int]:
            query = (
                "SELECT status, count(*) FROM batch_files JOIN store_files USING (store_id, file_id) "
                "WHERE batch_id = ? GROUP BY status"
            )
            return dict(connection.execute(query, (batch_id,)).fetchall())

        return await self._database.run(work)

    async def cancel(self, store_id: str, batch_id: str) -> Batch:
        """What waits is cancelled; what runs already ends. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> Batch:
            batch = _batch(connection, store_id, batch_id)
            mine = "(store_id, file_id) IN (SELECT store_id, file_id FROM batch_files WHERE batch_id = ?)"
            waiting = f"UPDATE store_files SET status = 'cancelled', updated_s = ? WHERE status = 'queued' AND {mine}"  # noqa: S608 - constants of ours
            connection.execute(waiting, (time.time(), batch_id))
            connection.execute("UPDATE batches SET cancelled = 1 WHERE id = ?", (batch_id,))
            drop_done(connection)
            return msgspec.structs.replace(batch, cancelled=True)

        return await self._database.run(work)

    # --- looking ------------------------------------------------------------------------

    async def page(self, store_id: str, page: Page) -> tuple[list[FileRecord], bool]:
        """Rows in order, and whether there is more. Raises InvalidRequest for an unknown cursor."""
        return await self._database.run(lambda connection: page_of(connection, store_id, page))

    async def row(self, store_id: str, file_id: str) -> FileRecord:
        """Raises NotFound."""
        return await self._database.run(lambda connection: one_row(connection, store_id, file_id))

    async def may_read(self, file_id: str, groups: Sequence[str]) -> bool:
        """Whether no store keeps the file from callers of these groups."""

        def work(connection: sqlite3.Connection) -> bool:
            rows = connection.execute("SELECT groups FROM store_files WHERE file_id = ?", (file_id,)).fetchall()
            allowed = [set(msgspec.json.decode(row[0])) for row in rows]
            return all(not few or few & set(groups) for few in allowed)

        return await self._database.run(work)

    async def stores_of(self, tenant: str, file_id: str) -> list[str]:
        """Ids of the tenant's stores that have the file."""

        def work(connection: sqlite3.Connection) -> list[str]:
            query = (
                "SELECT store_id FROM store_files JOIN stores ON stores.id = store_id "
                "WHERE file_id = ? AND tenant = ? AND deleting = 0 ORDER BY store_id"
            )
            return [row[0] for row in connection.execute(query, (file_id, tenant))]

        return await self._database.run(work)

    # --- changing what is there: the ledger first, then the index, then `finished` --------------

    async def detach(self, store_id: str, file_id: str, *, at_rest: bool) -> bool:
        """The row and its job go; its chunks are to follow. Raises NotFound.

        With `at_rest` nothing happens to a row that is being worked on or may be at any moment: False.
        """

        def work(connection: sqlite3.Connection) -> bool:
            if at_rest and one_row(connection, store_id, file_id).status not in SETTLED:
                return False
            one_row(connection, store_id, file_id)
            connection.execute("DELETE FROM store_files WHERE store_id = ? AND file_id = ?", (store_id, file_id))
            _mark(connection, store_id, file_id, "removed")
            return True

        return await self._database.run(work)

    async def change(self, store_id: str, file_id: str, *, at_rest: bool, **changes: Any) -> FileRecord | None:
        """Change `attributes` or `groups` of a row; its chunks are to follow. Raises NotFound. `at_rest` as above."""

        def work(connection: sqlite3.Connection) -> FileRecord | None:
            before = one_row(connection, store_id, file_id)
            if at_rest and before.status not in SETTLED:
                return None
            record = msgspec.structs.replace(before, **changes)
            connection.executemany(UPSERT, stamped([record]))
            if record.version is not None:
                _mark(connection, store_id, file_id, "attributes")
            return record

        return await self._database.run(work)

    async def unfinished(self) -> list[tuple[str, str, str]]:
        """Store, file and change of what a crash left between ledger and index."""

        def work(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
            query = (
                "SELECT store_id, file_id, change FROM unfinished JOIN stores ON stores.id = store_id "
                "WHERE deleting = 0 ORDER BY store_id, file_id"
            )
            return connection.execute(query).fetchall()

        return await self._database.run(work)

    async def finished(self, store_id: str, file_id: str) -> None:
        """The index says what the ledger says."""
        await self._database.run(
            lambda connection: connection.execute(
                "DELETE FROM unfinished WHERE store_id = ? AND file_id = ?", (store_id, file_id)
            )
        )


def _attach(connection: sqlite3.Connection, tenant: str, store_id: str, wanted: Sequence[Wanted]) -> list[FileRecord]:
    if not connection.execute(
        "SELECT 1 FROM stores INDEXED BY stores_by_owner WHERE tenant = ? AND id = ? AND deleting = 0",
        (tenant, store_id),
    ).fetchone():
        raise NotFound("vector store", store_id)
    fresh: list[FileRecord] = []
    for item in wanted:
        file = one_file(connection, tenant, item.file_id)
        record = FileRecord(
            store_id=store_id,
            file_id=file.id,
            filename=file.filename,
            status="queued",
            size_bytes=file.size_bytes,
            attributes=item.attributes,
            groups=item.groups,
            chunk_tokens=item.chunk_tokens,
        )
        before = _known(connection, store_id, file.id)
        if before is None or before.status in ("failed", "cancelled"):
            fresh.append(record)
        elif any(getattr(before, name) != getattr(record, name) for name in ("attributes", "groups", "chunk_tokens")):
            raise Conflict(
                f"File '{file.id}' is attached already, with other attributes or another chunking strategy. "
                "Update its attributes, or delete it from the store first.",
                param="file_id",
            )
    rows = stamped(fresh)
    connection.executemany(UPSERT, rows)
    add(connection, [(store_id, record.file_id) for record in fresh], now_s=time.time())
    return [one_row(connection, store_id, item.file_id) for item in wanted]


def _known(connection: sqlite3.Connection, store_id: str, file_id: str) -> FileRecord | None:
    if connection.execute(
        "SELECT 1 FROM unfinished WHERE store_id = ? AND file_id = ? AND change = 'removed'", (store_id, file_id)
    ).fetchone():
        raise Conflict(f"File '{file_id}' is being deleted from the store. Try again.", param="file_id")
    row = connection.execute(f"{READ} WHERE store_id = ? AND file_id = ?", (store_id, file_id)).fetchone()
    return None if row is None else record_of(row)


def _mark(connection: sqlite3.Connection, store_id: str, file_id: str, change: str) -> None:
    connection.execute(
        "INSERT INTO unfinished (store_id, file_id, change) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET change = excluded.change",
        (store_id, file_id, change),
    )


def _batch(connection: sqlite3.Connection, store_id: str, batch_id: str) -> Batch:
    row = connection.execute(
        "SELECT cancelled, created_s FROM batches WHERE store_id = ? AND id = ?", (store_id, batch_id)
    ).fetchone()
    if row is None:
        raise NotFound("file batch", batch_id)
    return Batch(id=batch_id, store_id=store_id, cancelled=bool(row[0]), created_s=row[1])
