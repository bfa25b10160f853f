"""One process per data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from penstock.core.errors import DataInUse, Setup


class Holder(msgspec.Struct, frozen=True):
    """Who holds a data folder. `address` is where it listens, empty while it does not."""

    pid: int
    address: str = ""


class DataLock:
    """Holds `folder`/lock for as long as this process wants it, or until it dies, however it dies.

    The operating system's lock decides; what stands in the file only tells a second process whom to name.
    The file stays: deleting it would let two processes lock two files of one name. A child made by fork
    shares the lock. On a network file system the lock is only as good as that system's flock.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder
        self._handle: int | None = None

    def acquire(self, *, address: str = "") -> None:
        """Take the folder, making it where it is missing. Raises DataInUse naming the holder, Setup."""
        assert self._handle is None, "already held"
        file = self._folder / "lock"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Setup(f"Cannot use the data folder {self._folder}: {error.strerror}.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise _in_use(self._folder, read_holder(self._folder)) from error
        except OSError as error:
            os.close(handle)
            raise Setup(f"Cannot lock the data folder {self._folder}: {error.strerror}.") from error
        self._handle = handle
        self.announce(address=address)

    def announce(self, *, address: str) -> None:
        """Say where this process listens, for whoever comes second."""
        assert self._handle is not None, "not held"
        text = msgspec.json.encode(Holder(pid=os.getpid(), address=address))
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, text, 0)
        except OSError:
            return  # a full disk must not keep us from starting: the lock holds, only its inscription is missing

    def release(self) -> None:
        """Give the folder back."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def read_holder(folder: Path) -> Holder | None:
    """What the lock file says; None where it cannot be read. It may name a process that is long gone."""
    try:
        return msgspec.json.decode((folder / "lock").read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None


def _in_use(folder: Path, holder: Holder | None) -> DataInUse:
    if holder is None:
        return DataInUse(f"Another process holds the data folder {folder}. Stop it, or use another --data folder.")
    where = f", which serves {holder.address}" if holder.address else ""
    return DataInUse(
        f"Process {holder.pid}{where}, holds the data folder {folder}. "
        "Ask that one, stop it, or use another --data folder."
    )
