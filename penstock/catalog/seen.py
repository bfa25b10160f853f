"""Which files of a store a run has seen, so that those which are gone can be taken out: in a table, not in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from penstock.catalog.database import Database

GONE = (
    "FROM store_files WHERE store_id = ? AND file_id NOT IN (SELECT file_id FROM temp.seen) "
    "AND file_id NOT IN (SELECT id FROM files)"
)
"""Uploaded files are not in any folder: they stay until somebody deletes them."""


class SeenFiles:
    """Belongs to one run at a time. The table goes with the connection."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def begin(self) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS seen (file_id TEXT PRIMARY KEY) WITHOUT ROWID")
            connection.execute("DELETE FROM temp.seen")

        await self._database.run(work)

    async def add(self, file_ids: Sequence[str]) -> None:
        rows = [(file_id,) for file_id in file_ids]
        await self._database.run(
            lambda connection: connection.executemany("INSERT OR IGNORE INTO temp.seen VALUES (?)", rows)
        )

    async def gone(self, store_id: str, *, limit: int) -> list[str]:
        """Files of the store that were not seen."""

        def work(connection: sqlite3.Connection) -> list[str]:
            query = f"SELECT file_id {GONE} ORDER BY file_id LIMIT ?"
            return [row[0] for row in connection.execute(query, (store_id, limit))]

        return await self._database.run(work)

    async def counts(self, store_id: str) -> tuple[int, int]:
        """How many are gone, and how many were seen."""

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            gone = connection.execute(f"SELECT count(*) {GONE}", (store_id,)).fetchone()[0]
            return int(gone), int(connection.execute("SELECT count(*) FROM temp.seen").fetchone()[0])

        return await self._database.run(work)
