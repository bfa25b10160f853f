"""One SQLite file in WAL mode, reached from one thread of its own, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Generic, TypeVar

from penstock.catalog.atrest import broken_pages, guarded, take_sum, write_sum
from penstock.core.errors import DataDamaged, DiskFull, PenstockError, StageUnavailable
from penstock.core.types import Store

T = TypeVar("T")

SCHEMA = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql", "schema_5.sql", "schema_6.sql")
"""What makes version 1 of the catalog, what makes version 2 of that, and so on."""
SCHEMA_VERSION = len(SCHEMA)
APPLICATION_ID = 0x50454E53  # "PENS": tells our files from anybody else's


class Memory(Generic[T]):
    """What was read and has not changed since; shared by all who read and write through one database."""

    def __init__(self, *, most: int = 4_096) -> None:
        self._known: dict[tuple[str, ...], T] = {}
        self._most = most
        self.changes = 0

    def get(self, key: tuple[str, ...]) -> T | None:
        return self._known.get(key)

    def keep(self, key: tuple[str, ...], value: T) -> None:
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[key] = value

    def forget(self) -> None:
        self.changes += 1
        self._known.clear()


class Database:
    """A connection with its own thread. A function given to `run` is one transaction: all of it or nothing.

    `synchronous=FULL`: what `run` returned survives a power cut, not only a crash.
    """

    def __init__(self, *, path: Path, busy_timeout_s: float = 10.0) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalog")
        self._connection: sqlite3.Connection | None = None
        self.stores_seen: Memory[Store] = Memory()

    async def start(self) -> None:
        """Open or create the file. Raises DataDamaged, DiskFull."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._open)

    async def stop(self) -> None:
        """Close the file; safe when never started."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._executor.shutdown()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction on the database's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._transaction, work)

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        assert self._connection is not None, "the database was not started"
        try:
            with self._connection:
                return work(self._connection)
        except sqlite3.Error as error:
            raise translated(error, self._path) from error

    def _open(self) -> None:
        try:
            with guarded(self._path):
                proved = not self._path.exists() or take_sum(self._path)
                connection = sqlite3.connect(self._path, timeout=self._busy_timeout_s)
                connection.execute("PRAGMA user_version").fetchone()  # opens the file
            if not proved and (wrong := broken_pages(connection)):
                raise DataDamaged(f"{self._path} is damaged ({wrong[0]}). Restore it from a backup.")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA secure_delete=ON")  # answers are kept here, and deleted means overwritten
            self._migrate(connection)
        except sqlite3.Error as error:
            raise translated(error, self._path) from error
        except OSError as error:
            raise DataDamaged(f"Cannot open {self._path}: {error.strerror}. Check the folder and its owner.") from error
        self._connection = connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= SCHEMA_VERSION:
            raise DataDamaged(
                f"{self._path} is of catalog version {version}; this Penstock reads up to version {SCHEMA_VERSION}. "
                "Use the release that wrote it, or another data folder."
            )
        if version < SCHEMA_VERSION:
            # Two processes may find the same old catalog: the second waits, and then there is nothing left to do.
            ours, connection.isolation_level = connection.isolation_level, None
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            for name in SCHEMA[version:]:
                for statement in _statements(files("penstock.catalog").joinpath(name).read_text(encoding="utf-8")):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
            connection.isolation_level = ours

    def _close(self) -> None:
        if self._connection is not None:
            with guarded(self._path):
                self._connection.close()
                write_sum(self._path)
            self._connection = None


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def translated(error: sqlite3.Error, path: Path) -> PenstockError:
    """SQLite's error as ours."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        code &= 0xFF  # the primary code, without the extension
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return DataDamaged(f"{path} is damaged ({error}). Restore it from a backup, or start with another data folder.")
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"No room on the disk of {path}. Free some space; nothing that was acknowledged is lost.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return DataDamaged(f"Cannot open {path} for writing ({error}). Check the folder's owner and permissions.")
    return StageUnavailable("catalog", str(error))
