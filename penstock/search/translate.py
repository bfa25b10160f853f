"""Errors of the shard become ours where they enter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.core.errors import DataDamaged, DiskFull, PenstockError
from penstock.search.manifest import remedy

NO_ROOM = re.compile(r"no space left|disk quota|file too large|os error (28|122|27)\b|not enough space", re.IGNORECASE)
"""How the shard words ENOSPC, EDQUOT and EFBIG; it gives no error numbers."""


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn whatever the shard raises into DiskFull or DataDamaged, keeping the cause.

    The shard's own errors are of the class Exception itself, so that a mistake of ours (a TypeError) stays
    what it is. A panic in the shard arrives as a BaseException of a class that cannot be imported; it
    would pass every `except Exception` and end the thread that ran it.
    """
    try:
        yield
    except BaseException as error:
        if type(error) is Exception or isinstance(error, OSError) or type(error).__name__ == "PanicException":
            raise _ours(error, folder) from error
        raise


def _ours(error: BaseException, folder: Path) -> PenstockError:
    if NO_ROOM.search(str(error)) or (isinstance(error, OSError) and error.errno in (27, 28, 122)):
        return DiskFull(f"No room to write in {folder}. Free some space and try again; nothing acknowledged is lost.")
    return DataDamaged(f"The vector store in {folder} cannot be used: {error}. {remedy(folder)}")
