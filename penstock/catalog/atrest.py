"""A checksum of the catalog's file while nobody has it open: SQLite finds broken pages, but not a changed letter."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.core.errors import DataDamaged

PIECE_BYTES = 1 << 20


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """A block in which no other process opens or closes the file: `penstock keys` works beside a running server."""
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def take_sum(path: Path) -> bool:
    """Before opening: compare, and take the sum away. False where there is none. Raises DataDamaged."""
    beside = _beside(path)
    try:
        first, second = beside.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return False
    whole = first == second and path.exists() and not _log(path).exists()
    if whole and first != _sum(path):
        raise DataDamaged(f"{path} is not what was written there. Restore it from a backup.")
    beside.unlink()
    return whole


def write_sum(path: Path) -> None:
    """After closing: note what the file holds, if nobody else has it open."""
    if _log(path).exists() or not path.exists():
        return
    value = _sum(path)
    new = path.with_name(f"{path.name}.sum.new")
    try:
        with new.open("w", encoding="ascii") as file:
            file.write(f"{value} {value}")  # twice: a damaged sum is none
            file.flush()
            os.fsync(file.fileno())
        new.replace(_beside(path))
    except OSError:
        new.unlink(missing_ok=True)  # no room: the pages are checked instead at the next start


def broken_pages(connection: sqlite3.Connection) -> list[str]:
    """What SQLite's own check finds, for a file of which there is no sum.

    Of tables without a rowid it takes some columns for NULL that are not (3.40): that is left out.
    """
    found = [row[0] for row in connection.execute("PRAGMA quick_check(20)")]
    return [line for line in found if line != "ok" and not line.startswith("NULL value in ")]


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sum")


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _sum(path: Path) -> str:
    value = size = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            value = zlib.crc32(piece, value)
            size += len(piece)
    return f"{value:08x}-{size}"
