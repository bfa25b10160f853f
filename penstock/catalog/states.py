"""What became of uploaded files, for whoever looks after them: rows of the ledger with their jobs, and another try."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.catalog.database import Database
from penstock.catalog.jobs import Ticket, add
from penstock.catalog.ledger import UPSERT, stamped
from penstock.catalog.listing import one_row
from penstock.core.errors import Conflict, NotFound
from penstock.core.types import FailureReason, FileStatus, Value

COLUMNS = (
    "stores.tenant, stores.name, store_files.store_id, store_files.file_id, store_files.filename, status, reason, "
    "error, store_files.attempts, coalesce(jobs.worker, store_files.worker), jobs.lease IS NOT NULL, jobs.sent_s, "
    "jobs.due_s, jobs.leased_until_s, store_files.created_s, store_files.updated_s"
)


class FileState(Value, frozen=True):
    """One file of one store. Times are Unix time; those of a job are None where there is none."""

    tenant: str
    store: str
    store_id: str
    file_id: str
    filename: str
    status: FileStatus
    reason: FailureReason | None
    error: str
    attempts: int
    worker: str
    running: bool
    sent_s: float | None
    due_s: float | None
    leased_until_s: float | None
    created_s: float
    updated_s: float


class Which(Value, frozen=True):
    """Which files to look at; None: whatever it is. `groups` is None for whoever may see all."""

    tenant: str | None = None
    store: str | None = None
    states: tuple[FileStatus, ...] = ()
    file_id: str | None = None
    groups: tuple[str, ...] | None = None
    limit: int = 100


class States:
    """Reads beside the server, and writes what its outbox finds."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def list(self, which: Which) -> list[FileState]:
        """The files that changed last come first. Only uploads: what is read in place has no job."""

        def work(connection: sqlite3.Connection) -> list[FileState]:
            where, values = _where(which)
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM store_files JOIN stores ON stores.id = store_files.store_id "  # noqa: S608 - constants of ours
                "JOIN files ON files.id = store_files.file_id AND files.tenant = stores.tenant "
                "LEFT JOIN jobs ON jobs.store_id = store_files.store_id AND jobs.file_id = store_files.file_id "
                f"WHERE {where} ORDER BY store_files.updated_s DESC, store_files.file_id LIMIT ?",
                (*values, which.limit),
            )
            return [_state(row) for row in rows]

        return await self._database.run(work)

    async def retry(self, keys: Sequence[tuple[str, str]]) -> None:
        """Files (store, file) that failed or were cancelled wait again, all or none. Raises Conflict for others."""

        def work(connection: sqlite3.Connection) -> None:
            for key in keys:
                _queue_again(connection, key)
            add(connection, list(keys), now_s=time.time())

        await self._database.run(work)

    async def revive(self, tickets: Sequence[Ticket]) -> int:
        """The same for dead letters, whose messages are about to be replayed: the job has the message's id.

        Returns how many there were to revive; of the others there is nothing to do.
        """

        def work(connection: sqlite3.Connection) -> int:
            revived = 0
            now_s = time.time()
            for ticket in tickets:
                key = (ticket.store_id, ticket.file_id)
                try:
                    _queue_again(connection, key)
                except (NotFound, Conflict):
                    continue
                add(connection, [key], now_s=now_s)
                connection.execute(
                    "UPDATE jobs SET id = ?, sent_s = ? WHERE store_id = ? AND file_id = ?",
                    (ticket.job_id, now_s, *key),
                )
                revived += 1
            return revived

        return await self._database.run(work)


def _queue_again(connection: sqlite3.Connection, key: tuple[str, str]) -> None:
    record = one_row(connection, *key)
    if record.status not in ("failed", "cancelled"):
        raise Conflict(f"File '{record.file_id}' is {record.status}: there is nothing to try again.")
    record = msgspec.structs.replace(record, status="queued", reason=None, error="", attempts=0)
    connection.executemany(UPSERT, stamped([record]))


def _where(which: Which) -> tuple[str, list[Any]]:
    where, values = ["deleting = 0"], []
    for column, value in (
        ("stores.tenant = ?", which.tenant),
        ("store_files.file_id = ?", which.file_id),
        ("? IN (stores.id, stores.name)", which.store),
    ):
        if value is not None:
            where.append(column)
            values.append(value)
    for column, several in (("status IN", which.states), ("", which.groups)):
        marks = ", ".join("?" * len(several or ()))
        if column and several:
            where.append(f"{column} ({marks})")
            values += several
        elif not column and several is not None:
            mine = f"EXISTS (SELECT 1 FROM json_each(groups) WHERE value IN ({marks}))"  # noqa: S608 - marks only
            where.append(f"(groups = '[]' OR {mine})")
            values += several
    return " AND ".join(where), values


def _state(row: Sequence[Any]) -> FileState:
    values = dict(zip(FileState.__struct_fields__, row, strict=True))
    return FileState(**{**values, "running": bool(values["running"])})
