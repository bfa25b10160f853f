"""The bytes of uploaded files, by their SHA-256: written beside their place, synced, and moved there whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

from penstock.core.errors import DataDamaged, DiskFull, TooLarge

UNFINISHED = ".part"


class Originals:
    """Everything here blocks: call it from a thread."""

    def __init__(self, *, folder: Path, max_bytes: int, min_free_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes

    def tidy(self, wanted: Collection[str]) -> None:
        """Make the folder, and take out what a crash left behind: half uploads, and content that no file has."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if path.name not in wanted:
                path.unlink()

    def receive(self) -> Incoming:
        """Somewhere to put a file that is arriving. Raises DiskFull."""
        left = shutil.disk_usage(self._folder).free
        if left < self._min_free_bytes:
            raise DiskFull(f"Only {left // 2**20} MiB are left on the disk of {self._folder}. Free some space.")
        return Incoming(folder=self._folder, max_bytes=self._max_bytes)

    def path(self, sha256: str) -> Path:
        return self._folder / sha256

    def read(self, sha256: str, *, start: int = 0, size: int = -1) -> bytes:
        """A piece, or all. Raises DataDamaged when it is not there, or, at its start, when it is not what came in."""
        try:
            with self.path(sha256).open("rb") as file:
                if not start and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise DataDamaged(f"{self.path(sha256)} is damaged. Restore it from a backup, or upload it again.")
                file.seek(start)
                return file.read(size)
        except OSError as error:
            path = self.path(sha256)
            raise DataDamaged(f"Cannot read {path}: {error.strerror}. Restore it from a backup.") from error

    def remove(self, sha256: str) -> None:
        """Gone, also after a power cut, when this returns; nothing happens where it is gone already."""
        self.path(sha256).unlink(missing_ok=True)
        _sync(self._folder)


class Incoming:
    """One file on its way in: `write` pieces, then `keep` or `abandon`."""

    def __init__(self, *, folder: Path, max_bytes: int, param: str = "file") -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._param = param
        self._path = folder / f"{secrets.token_hex(16)}{UNFINISHED}"
        self._file = self._path.open("xb")
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Raises TooLarge, DiskFull."""
        self.size_bytes += len(piece)
        if self.size_bytes > self._max_bytes:
            raise TooLarge(f"It is over the limit of {self._max_bytes} bytes.", param=self._param)
        self._hash.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise DiskFull(f"Cannot write to {self._folder}: {error.strerror}.") from error

    def keep(self, name: str | None = None) -> str:
        """Make it durable under its hash, which is returned, or under another name. Raises DiskFull."""
        name = name or self._hash.hexdigest()
        try:
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())
            self._path.replace(self._folder / name)
            _sync(self._folder)
        except OSError as error:
            raise DiskFull(f"Cannot write to {self._folder}: {error.strerror}.") from error
        return name

    def abandon(self) -> None:
        """Leave nothing; harmless after `keep`."""
        with contextlib.suppress(OSError):  # what it could not write on a full disk is not wanted any more
            self._file.close()
        self._path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """A name in a folder is durable once the folder is synced."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
