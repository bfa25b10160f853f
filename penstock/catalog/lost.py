"""A store whose index is gone, while the catalog says what it held: all of it is to be read again."""

from __future__ import annotations

import sqlite3
import time

from penstock.catalog.database import Database
from penstock.catalog.jobs import add

# The version stays: what a file says has not changed, so answers that were kept and quote it stay true.
QUEUED = """UPDATE store_files SET status = 'queued', stamp = '', chunks = 0, pending_version = NULL,
  pending_chunks = 0, attempts = 0, updated_s = ? WHERE store_id = ? AND status = 'completed' AND chunks > 0"""
UPLOADED = """SELECT store_id, file_id FROM store_files JOIN files ON files.id = store_files.file_id
  WHERE store_id = ? AND status = 'queued' AND stamp = ''"""


async def read_again(database: Database, store_id: str) -> int:
    """Queue the files of a store whose index is empty. Returns how many there were.

    The queue does those that were uploaded; those of a folder or a corpus are read by the next `penstock ingest` of it.
    """

    def work(connection: sqlite3.Connection) -> int:
        now_s = time.time()
        queued = connection.execute(QUEUED, (now_s, store_id)).rowcount
        if queued:
            add(connection, connection.execute(UPLOADED, (store_id,)).fetchall(), now_s=now_s)
        return queued

    return await database.run(work)
