"""The ledger: what became of every file of every store.

A file's way: `queued` → `indexing` with a pending version (durable before the index is touched) → `completed`.
A crash leaves rows in `indexing`; recovery compares the index with `pending_chunks` and rolls forward or back.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from penstock.catalog.database import Database
from penstock.core.types import FileRecord, FileStatus

FIELDS = FileRecord.__struct_fields__
COLUMNS = ", ".join(FIELDS)
CHANGING = [name for name in FIELDS if name not in ("store_id", "file_id", "created_s")]
UPSERT = (
    f"INSERT INTO store_files ({COLUMNS}) VALUES ({', '.join('?' * len(FIELDS))}) "  # noqa: S608 - a constant of ours
    f"ON CONFLICT (store_id, file_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in CHANGING)}"
)
MAX_VARIABLES = 500
"""Ids asked for in one statement; SQLite allows more, smaller statements are cached."""


class Ledger:
    """The rows of `store_files`, read and written in groups."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def known(self, store_id: str, file_ids: Sequence[str]) -> dict[str, FileRecord]:
        """The rows that exist, by file id."""

        def work(connection: sqlite3.Connection) -> dict[str, FileRecord]:
            found: dict[str, FileRecord] = {}
            for start in range(0, len(file_ids), MAX_VARIABLES):
                part = file_ids[start : start + MAX_VARIABLES]
                marks = ", ".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT {COLUMNS} FROM store_files WHERE store_id = ? AND file_id IN ({marks})",  # noqa: S608 - constants of ours
                    (store_id, *part),
                )
                found |= {row[1]: record_of(row) for row in rows}
            return found

        return await self._database.run(work)

    async def put(self, records: Iterable[FileRecord]) -> None:
        """Write these rows, all or none; they are durable when this returns."""
        rows = stamped(records)
        await self._database.run(lambda connection: connection.executemany(UPSERT, rows))

    async def remove(self, store_id: str, file_ids: Sequence[str]) -> None:
        """Forget these rows; their chunks must be gone already."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM store_files WHERE store_id = ? AND file_id = ?",
                [(store_id, file_id) for file_id in file_ids],
            )

        await self._database.run(work)

    async def in_state(self, store_id: str, status: FileStatus) -> list[FileRecord]:
        """All rows of the store in that state, by file id."""

        def work(connection: sqlite3.Connection) -> list[FileRecord]:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM store_files WHERE store_id = ? AND status = ? ORDER BY file_id",  # noqa: S608 - a constant of ours
                (store_id, status),
            )
            return [record_of(row) for row in rows]

        return await self._database.run(work)

    async def all(self, store_id: str) -> list[FileRecord]:
        """All rows of the store, by file id."""

        def work(connection: sqlite3.Connection) -> list[FileRecord]:
            query = f"SELECT {COLUMNS} FROM store_files WHERE store_id = ? ORDER BY file_id"  # noqa: S608 - a constant of ours
            return [record_of(row) for row in connection.execute(query, (store_id,))]

        return await self._database.run(work)

    async def counts(self, store_id: str) -> dict[FileStatus, int]:
        """Files in each state that occurs."""

        def work(connection: sqlite3.Connection) -> dict[FileStatus, int]:
            query = "SELECT status, count(*) FROM store_files WHERE store_id = ? GROUP BY status"
            return dict(connection.execute(query, (store_id,)).fetchall())

        return await self._database.run(work)

    async def usage_bytes(self, store_id: str) -> int:
        """Bytes of the files that can be found."""

        def work(connection: sqlite3.Connection) -> int:
            query = "SELECT coalesce(sum(size_bytes), 0) FROM store_files WHERE store_id = ? AND version IS NOT NULL"
            return int(connection.execute(query, (store_id,)).fetchone()[0])

        return await self._database.run(work)


def stamped(records: Iterable[FileRecord]) -> list[tuple[Any, ...]]:
    """Rows for `UPSERT`, with the time of writing; a row that exists keeps the time of its making."""
    now_s = time.time()
    return [
        _row(msgspec.structs.replace(record, created_s=record.created_s or now_s, updated_s=now_s))
        for record in records
    ]


def _row(record: FileRecord) -> tuple[Any, ...]:
    values = msgspec.structs.asdict(record)
    values["attributes"] = msgspec.json.encode(record.attributes).decode()
    values["groups"] = msgspec.json.encode(record.groups).decode()
    return tuple(values[name] for name in FIELDS)


def record_of(row: Sequence[Any]) -> FileRecord:
    """A row of `COLUMNS`."""
    values = dict(zip(FIELDS, row, strict=True))
    values["attributes"] = msgspec.json.decode(values["attributes"])
    values["groups"] = tuple(msgspec.json.decode(values["groups"]))
    return FileRecord(**values)
