"""The queue that needs no other service: a table in a SQLite file. Durable when `put` returns, as every commit is."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from penstock.core.messages import DeadLetter, Lease, QueueMessage, Verdict

T = TypeVar("T")

TABLE = """
CREATE TABLE IF NOT EXISTS messages (
  id       TEXT PRIMARY KEY,
  body     BLOB NOT NULL,
  due_s    REAL NOT NULL, -- when it may be leased: at once, after a delay, or when a lease runs out
  attempts INTEGER NOT NULL DEFAULT 0,
  token    TEXT, -- of the lease, while there is one
  reason   TEXT, -- why it was buried; NULL: it was not
  buried_s REAL
) STRICT
"""
INDEX = "CREATE INDEX IF NOT EXISTS messages_by_due ON messages (due_s) WHERE reason IS NULL"
LOOK_EVERY_S = 1.0
"""Messages of other processes, a command beside the server for one, are found by looking."""


class Transactions(Protocol):
    """A SQLite file that is written one transaction after another."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T: ...


class SqliteQueue:
    """Implements core.ports.Queue. A lease is a row's: whoever has its token settles it, in whatever process."""

    def __init__(
        self, *, database: Transactions, lease_s: float = 30.0, now_s: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._lease_s = lease_s
        self._now_s = now_s
        self._arrived = asyncio.Event()

    async def start(self) -> None:
        """Make the table, where it is missing."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(TABLE)
            connection.execute(INDEX)

        await self._database.run(work)

    async def stop(self) -> None:
        """Nothing to close: the file is its owner's."""

    async def release(self) -> None:
        """Everything that is leased may be leased at once: the one process that leased it has ended."""
        now_s = self._now_s()
        await self._database.run(
            lambda connection: connection.execute(
                "UPDATE messages SET due_s = ?, token = NULL WHERE token IS NOT NULL", (now_s,)
            )
        )

    async def put(self, messages: Sequence[QueueMessage]) -> None:
        now_s = self._now_s()
        rows = [(message.id, message.body, now_s) for message in messages]
        await self._database.run(
            lambda connection: connection.executemany(
                "INSERT INTO messages (id, body, due_s) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows
            )
        )
        self._arrived.set()

    async def lease(self, limit: int, *, wait_s: float) -> list[Lease]:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        while True:
            self._arrived.clear()
            leases, due_s = await self._database.run(lambda connection: self._take(connection, limit))
            left_s = until_s - loop.time()
            if leases or left_s <= 0:
                return leases
            pause_s = min(left_s, LOOK_EVERY_S, LOOK_EVERY_S if due_s is None else max(0.01, due_s - self._now_s()))
            try:
                async with asyncio.timeout(pause_s):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    def _take(self, connection: sqlite3.Connection, limit: int) -> tuple[list[Lease], float | None]:
        now_s = self._now_s()
        rows = connection.execute(
            "SELECT id, body, attempts FROM messages WHERE reason IS NULL AND due_s <= ? ORDER BY due_s LIMIT ?",
            (now_s, limit),
        ).fetchall()
        leases = [
            Lease(token=secrets.token_hex(12), message=QueueMessage(id=row[0], body=row[1]), attempt=row[2] + 1)
            for row in rows
        ]
        connection.executemany(
            "UPDATE messages SET token = ?, due_s = ?, attempts = ? WHERE id = ?",
            [(lease.token, now_s + self._lease_s, lease.attempt, lease.message.id) for lease in leases],
        )
        if leases:
            return leases, None
        return [], connection.execute("SELECT min(due_s) FROM messages WHERE reason IS NULL").fetchone()[0]

    async def extend(self, leases: Sequence[Lease]) -> None:
        rows = [(self._now_s() + self._lease_s, lease.message.id, lease.token) for lease in leases]
        await self._database.run(
            lambda connection: connection.executemany("UPDATE messages SET due_s = ? WHERE id = ? AND token = ?", rows)
        )

    async def settle(self, verdicts: Sequence[Verdict]) -> None:
        now_s = self._now_s()

        def work(connection: sqlite3.Connection) -> None:
            for verdict in verdicts:
                _settle(connection, verdict, now_s)

        await self._database.run(work)
        if any(verdict.kind == "retry" for verdict in verdicts):
            self._arrived.set()

    async def dead(self, limit: int) -> list[DeadLetter]:
        def work(connection: sqlite3.Connection) -> list[DeadLetter]:
            rows = connection.execute(
                "SELECT id, body, reason, attempts, buried_s FROM messages WHERE reason IS NOT NULL "
                "ORDER BY buried_s, id LIMIT ?",
                (limit,),
            )
            return [DeadLetter(id=row[0], body=row[1], reason=row[2], attempts=row[3], buried_s=row[4]) for row in rows]

        return await self._database.run(work)

    async def replay(self, ids: Sequence[str]) -> int:
        rows = [(self._now_s(), identifier) for identifier in ids]

        def work(connection: sqlite3.Connection) -> int:
            return connection.executemany(
                "UPDATE messages SET reason = NULL, buried_s = NULL, attempts = 0, due_s = ? "
                "WHERE id = ? AND reason IS NOT NULL",
                rows,
            ).rowcount

        replayed = await self._database.run(work)
        self._arrived.set()
        return max(0, replayed)

    async def depth(self) -> int:
        return await self._database.run(
            lambda connection: int(
                connection.execute("SELECT count(*) FROM messages WHERE reason IS NULL").fetchone()[0]
            )
        )


def _settle(connection: sqlite3.Connection, verdict: Verdict, now_s: float) -> None:
    mine = (verdict.lease.message.id, verdict.lease.token)
    if verdict.kind == "ack":
        connection.execute("DELETE FROM messages WHERE id = ? AND token = ?", mine)
    elif verdict.kind == "retry":
        connection.execute(
            "UPDATE messages SET token = NULL, due_s = ? WHERE id = ? AND token = ?", (now_s + verdict.after_s, *mine)
        )
    else:
        connection.execute(
            "UPDATE messages SET token = NULL, reason = ?, buried_s = ? WHERE id = ? AND token = ?",
            (verdict.reason, now_s, *mine),
        )
