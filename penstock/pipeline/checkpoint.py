"""How far a run has come in files of many records, so that the next one goes on there after a kill.

The note is written after the ledger and lies with the store's index: it can be behind, never ahead, and it goes when
the index goes. It is not synced: what a power cut leaves of it is an older one, or none.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

WRITTEN_EVERY_S = 1.0
NAME = "checkpoint.json"


class Noted(msgspec.Struct, forbid_unknown_fields=True):
    """`fingerprint` is of everything that makes passages of text; `ends` are (end, line) by file and state."""

    fingerprint: str
    ends: dict[str, tuple[int, int]] = {}


class Checkpoint:
    """The note of one store. It blocks for as long as a small file takes to write."""

    def __init__(self, *, folder: Path, fingerprint: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / NAME
        self._now_s = now_s
        self._written_s = 0.0
        self._noted = Noted(fingerprint)
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            before = msgspec.json.decode(self._path.read_bytes(), type=Noted)
            if before.fingerprint == fingerprint:
                self._noted = before

    def resume(self, of: str) -> tuple[int, int]:
        """The end of the last line that is done with, and its number; zeros where there is no note."""
        return self._noted.ends.get(of, (0, 0))

    def note(self, of: str, end: int, line: int) -> None:
        """All lines up to this one are done with and recorded."""
        self._noted.ends[of] = (end, line)
        if self._now_s() - self._written_s < WRITTEN_EVERY_S:
            return
        self._written_s = self._now_s()
        beside = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # without a note, the next run compares line by line
            beside.write_bytes(msgspec.json.encode(self._noted))
            beside.replace(self._path)

    def forget(self) -> None:
        """The run is over: the next one looks at everything."""
        self._path.unlink(missing_ok=True)
