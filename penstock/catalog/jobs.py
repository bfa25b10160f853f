"""Jobs: what is to be done for a row of the ledger, whether the queue has it, and who works on it until when.

The catalog decides. A queue's message only says that there may be something to do; whoever gets it begins the job
here, and is refused where that is done, cancelled, deleted, or in the hands of a worker that lives.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

import msgspec

from penstock.catalog.database import Database
from penstock.catalog.ledger import UPSERT, stamped
from penstock.catalog.listing import AT_REST, one_row
from penstock.core.types import FailureReason, FileRecord, FileStatus, Value

MAX_TRIES = 5
OF_JOB = "store_id = jobs.store_id AND file_id = jobs.file_id"
STOPPED_ANSWERING = "The worker that had it stopped answering."


class Ticket(Value, frozen=True):
    """What a message says: which job there may be."""

    job_id: str
    store_id: str
    file_id: str


class Assignment(Value, frozen=True):
    """A job that has begun: it is the worker's as long as it is heard of."""

    lease: str
    job_id: str
    tenant: str
    store_id: str
    file_id: str
    filename: str
    sha256: str
    size_bytes: int
    chunk_tokens: int
    tries: int
    embedder: str
    """The encoder of its store."""


class Refused(Value, frozen=True):
    """A job that does not begin.

    gone: nothing to do. later: another worker has it, or it is not due. alone: it went wrong before and is to be begun
    by itself. dead: it has failed for good, with this reason.
    """

    job_id: str
    kind: Literal["gone", "later", "alone", "dead"]
    after_s: float = 0.0
    reason: str = ""


PutBack = Literal["done", "waits", "dead", "lost"]


class Jobs:
    """Every method is one transaction."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    # --- to the queue -----------------------------------------------------------------

    async def unsent(self, limit: int) -> list[Ticket]:
        """What is still to be carried to the queue."""

        def work(connection: sqlite3.Connection) -> list[Ticket]:
            rows = connection.execute(
                "SELECT id, store_id, file_id FROM jobs WHERE sent_s IS NULL ORDER BY due_s, store_id, file_id LIMIT ?",
                (limit,),
            )
            return [Ticket(job_id=row[0], store_id=row[1], file_id=row[2]) for row in rows]

        return await self._database.run(work)

    async def sent(self, job_ids: Sequence[str], *, now_s: float) -> None:
        """The queue has them."""
        await self._database.run(
            lambda connection: connection.executemany(
                "UPDATE jobs SET sent_s = ? WHERE id = ?", [(now_s, job_id) for job_id in job_ids]
            )
        )

    async def send_again(self, *, older_than_s: float) -> int:
        """Jobs that the queue took before then and nobody has: to be carried once more. Returns how many."""

        def work(connection: sqlite3.Connection) -> int:
            changed = connection.execute(
                "UPDATE jobs SET sent_s = NULL WHERE sent_s < ? AND lease IS NULL AND due_s < ?",
                (older_than_s, older_than_s),
            )
            return changed.rowcount

        return await self._database.run(work)

    # --- under way --------------------------------------------------------------------

    async def begin(
        self, tickets: Sequence[Ticket], *, worker: str, models: Collection[str], now_s: float, lease_s: float
    ) -> list[Assignment | Refused]:
        """Give the worker what it may have of these, in their order. `models` are the encoders that it has."""

        def work(connection: sqlite3.Connection) -> list[Assignment | Refused]:
            alone = len(tickets) == 1
            return [_begin(connection, ticket, worker, models, now_s, lease_s, alone=alone) for ticket in tickets]

        return await self._database.run(work)

    async def beat(self, worker: str, leases: Sequence[str], *, now_s: float, lease_s: float) -> set[str]:
        """The worker lives. Returns those of its leases that are no longer its own."""

        def work(connection: sqlite3.Connection) -> set[str]:
            lost = set()
            for lease in leases:
                changed = connection.execute(
                    "UPDATE jobs SET leased_until_s = ? WHERE lease = ? AND worker = ?",
                    (now_s + lease_s, lease, worker),
                )
                if changed.rowcount == 0:
                    lost.add(lease)
            return lost

        return await self._database.run(work)

    async def of_leases(self, leases: Collection[str]) -> dict[str, tuple[str, str, str]]:
        """Tenant, store and file of each lease that holds."""

        def work(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
            found = {}
            for lease in leases:
                row = connection.execute(
                    "SELECT tenant, store_id, file_id FROM jobs JOIN stores ON stores.id = store_id "
                    "WHERE lease = ? AND deleting = 0",
                    (lease,),
                ).fetchone()
                if row is not None:
                    found[lease] = row
            return found

        return await self._database.run(work)

    async def content_of(self, lease: str) -> str | None:
        """The SHA-256 of the file that this lease is for; None where it does not hold."""

        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT sha256 FROM jobs JOIN files ON files.id = file_id WHERE lease = ?", (lease,)
            ).fetchone()
            return None if row is None else str(row[0])

        return await self._database.run(work)

    async def advance(
        self, leases: Sequence[str], change: Callable[[str, FileRecord], FileRecord]
    ) -> dict[str, FileRecord]:
        """Change the rows of those leases that hold; returns them by lease, as they are now."""

        def work(connection: sqlite3.Connection) -> dict[str, FileRecord]:
            changed = {}
            for lease in leases:
                row = connection.execute("SELECT store_id, file_id FROM jobs WHERE lease = ?", (lease,)).fetchone()
                if row is not None:
                    changed[lease] = change(lease, one_row(connection, *row))
            connection.executemany(UPSERT, stamped(changed.values()))
            drop_done(connection, keys_of(changed.values()))
            return changed

        return await self._database.run(work)

    async def finish(self, records: Sequence[FileRecord]) -> None:
        """These rows are at rest, and their jobs are done."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(UPSERT, stamped(records))
            drop_done(connection, keys_of(records))

        await self._database.run(work)

    async def put_back(self, leases: Sequence[str], *, due_s: float, counted: bool, error: str) -> dict[str, PutBack]:
        """Those that hold wait again, or fail when they have gone wrong `MAX_TRIES` times."""

        def work(connection: sqlite3.Connection) -> dict[str, PutBack]:
            outcomes: dict[str, PutBack] = {}
            for lease in leases:
                row = connection.execute("SELECT store_id, file_id FROM jobs WHERE lease = ?", (lease,)).fetchone()
                if row is None:
                    outcomes[lease] = "lost"
                else:
                    outcomes[lease] = _put_back(connection, row[0], row[1], due_s, error, counted=counted)
            return outcomes

        return await self._database.run(work)

    async def expire(self, *, now_s: float) -> int:
        """Take the jobs of workers that were not heard of in time. Returns how many."""

        def work(connection: sqlite3.Connection) -> int:
            rows = connection.execute(
                f"SELECT store_id, file_id FROM jobs WHERE leased_until_s < ? AND EXISTS (SELECT 1 FROM store_files "  # noqa: S608 - constants of ours
                f"WHERE {OF_JOB} AND status != 'indexing')",
                (now_s,),
            ).fetchall()
            for store_id, file_id in rows:
                _put_back(connection, store_id, file_id, now_s, STOPPED_ANSWERING, counted=True)
            return len(rows)

        return await self._database.run(work)

    async def reopen(self, *, inside: str, now_s: float, lease_s: float, pause_s: Callable[[int], float]) -> int:
        """At the start of the server, after recovery; returns how many wait.

        What its own worker (whose names begin with `inside`) had may have killed it: it waits again, and that is
        counted. Workers beside it get a full time to be heard of: it was the server that did not answer.
        """

        def work(connection: sqlite3.Connection) -> int:
            drop_done(connection)
            rows = connection.execute(
                "SELECT store_id, file_id, tries FROM jobs WHERE lease IS NOT NULL AND substr(worker, 1, ?) = ?",
                (len(inside), inside),
            ).fetchall()
            for store_id, file_id, tries in rows:
                _put_back(connection, store_id, file_id, now_s + pause_s(tries), "The server died.", counted=True)
            connection.execute("UPDATE jobs SET leased_until_s = ? WHERE lease IS NOT NULL", (now_s + lease_s,))
            connection.execute(
                "UPDATE store_files SET status = 'queued' "
                "WHERE (store_id, file_id) IN (SELECT store_id, file_id FROM jobs WHERE lease IS NULL)"
            )
            return int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])

        return await self._database.run(work)

    # --- counting -----------------------------------------------------------------------

    async def counts(self) -> dict[str, int]:
        """Jobs that are not yet in the queue, that wait there, and that are worked on."""

        def work(connection: sqlite3.Connection) -> dict[str, int]:
            total, unsent, leased = connection.execute(
                "SELECT count(*), count(*) - count(sent_s), count(lease) FROM jobs"
            ).fetchone()
            return {"unsent": unsent, "running": leased, "waiting": total - unsent - leased}

        return await self._database.run(work)

    async def next_due_s(self) -> float | None:
        """When something that waits is due; None when nothing waits."""

        def work(connection: sqlite3.Connection) -> float | None:
            due_s: float | None = connection.execute("SELECT min(due_s) FROM jobs").fetchone()[0]
            return due_s

        return await self._database.run(work)


def keys_of(records: Iterable[FileRecord]) -> list[tuple[str, str]]:
    return [(record.store_id, record.file_id) for record in records]


def drop_done(connection: sqlite3.Connection, keys: Iterable[tuple[str, str]] | None = None) -> None:
    """Jobs of rows at rest go: of these rows (store, file), or of all."""
    done = f"DELETE FROM jobs WHERE EXISTS (SELECT 1 FROM store_files WHERE {OF_JOB} AND status IN {AT_REST})"  # noqa: S608 - constants of ours
    if keys is None:
        connection.execute(done)
    else:
        connection.executemany(f"{done} AND store_id = ? AND file_id = ?", list(keys))


def add(connection: sqlite3.Connection, keys: Sequence[tuple[str, str]], *, now_s: float) -> None:
    """Jobs for these rows (store, file), to be carried to the queue; in the transaction that writes the rows."""
    connection.executemany(
        "INSERT INTO jobs (store_id, file_id, id, due_s) VALUES (?, ?, ?, ?) ON CONFLICT (store_id, file_id) DO UPDATE "
        "SET id = excluded.id, due_s = excluded.due_s, tries = 0, sent_s = NULL, lease = NULL, leased_until_s = NULL",
        [(store_id, file_id, secrets.token_hex(12), now_s) for store_id, file_id in keys],
    )


def _begin(
    connection: sqlite3.Connection,
    ticket: Ticket,
    worker: str,
    models: Collection[str],
    now_s: float,
    lease_s: float,
    *,
    alone: bool,
) -> Assignment | Refused:
    found = connection.execute(
        "SELECT tries, due_s, leased_until_s, status, embedder FROM jobs JOIN store_files USING (store_id, file_id) "
        "JOIN stores ON stores.id = store_id WHERE jobs.id = ? AND deleting = 0",
        (ticket.job_id,),
    ).fetchone()
    if found is None:
        return _ended(connection, ticket)
    tries, due_s, leased_until_s, status, embedder = found
    if leased_until_s is not None and leased_until_s < now_s and status != "indexing":
        error = STOPPED_ANSWERING
        if _put_back(connection, ticket.store_id, ticket.file_id, now_s, error, counted=True) != "waits":
            return _ended(connection, ticket)
        tries, leased_until_s = tries + 1, None
    free_s = due_s if leased_until_s is None else max(leased_until_s, now_s + 1.0)
    if free_s > now_s:
        return Refused(job_id=ticket.job_id, kind="later", after_s=free_s - now_s)
    if embedder not in models:
        return Refused(job_id=ticket.job_id, kind="later", after_s=60.0, reason=f"It needs the encoder {embedder}.")
    if tries and not alone:
        return Refused(job_id=ticket.job_id, kind="alone")
    return _assign(connection, ticket, worker, now_s, lease_s)


def _assign(
    connection: sqlite3.Connection, ticket: Ticket, worker: str, now_s: float, lease_s: float
) -> Assignment | Refused:
    row = connection.execute(
        "SELECT files.tenant, store_files.filename, sha256, files.size_bytes, chunk_tokens, tries, embedder "
        "FROM jobs JOIN store_files USING (store_id, file_id) JOIN files ON files.id = file_id "
        "JOIN stores ON stores.id = store_id WHERE jobs.id = ?",
        (ticket.job_id,),
    ).fetchone()
    if row is None:
        return Refused(job_id=ticket.job_id, kind="gone")  # the file is being deleted
    lease = secrets.token_hex(12)
    connection.execute(
        "UPDATE jobs SET lease = ?, worker = ?, leased_until_s = ? WHERE id = ?",
        (lease, worker, now_s + lease_s, ticket.job_id),
    )
    connection.execute(
        "UPDATE store_files SET status = 'parsing', worker = ?, attempts = attempts + 1, updated_s = ? "
        "WHERE store_id = ? AND file_id = ?",
        (worker, now_s, ticket.store_id, ticket.file_id),
    )
    tenant, filename, sha256, size_bytes, chunk_tokens, tries, embedder = row
    return Assignment(
        lease=lease,
        job_id=ticket.job_id,
        tenant=tenant,
        store_id=ticket.store_id,
        file_id=ticket.file_id,
        filename=filename,
        sha256=sha256,
        size_bytes=size_bytes,
        chunk_tokens=chunk_tokens,
        tries=tries,
        embedder=embedder,
    )


def _ended(connection: sqlite3.Connection, ticket: Ticket) -> Refused:
    """There is no such job: whether that is the good end."""
    row = connection.execute(
        "SELECT error FROM store_files WHERE store_id = ? AND file_id = ? AND status = 'failed' "
        "AND reason = 'internal' AND (store_id, file_id) NOT IN (SELECT store_id, file_id FROM jobs)",
        (ticket.store_id, ticket.file_id),
    ).fetchone()
    if row is None:
        return Refused(job_id=ticket.job_id, kind="gone")
    return Refused(job_id=ticket.job_id, kind="dead", reason=row[0])


def _put_back(
    connection: sqlite3.Connection, store_id: str, file_id: str, due_s: float, error: str, *, counted: bool
) -> PutBack:
    key = (store_id, file_id)
    before = one_row(connection, *key)
    if before.status in ("completed", "failed", "cancelled"):
        drop_done(connection, [key])
        return "done"
    tries = connection.execute("SELECT tries FROM jobs WHERE store_id = ? AND file_id = ?", key).fetchone()[0]
    tries += int(counted)
    dead = tries >= MAX_TRIES
    status: FileStatus = "failed" if dead else "queued"
    reason: FailureReason | None = "internal" if dead else None
    record = msgspec.structs.replace(before, status=status, reason=reason, error=error)
    connection.executemany(UPSERT, stamped([record]))
    connection.execute(
        "UPDATE jobs SET due_s = ?, tries = ?, lease = NULL, leased_until_s = NULL WHERE store_id = ? AND file_id = ?",
        (due_s, tries, *key),
    )
    drop_done(connection, [key])
    return "dead" if dead else "waits"
