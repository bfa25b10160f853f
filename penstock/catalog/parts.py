"""The bytes of parts of uploads, each in a file of its own until they are put together."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from penstock.catalog.originals import Incoming
from penstock.core.errors import DataDamaged, DiskFull, InvalidRequest

MAX_PART_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 1024 * 1024


class Parts:
    """Everything here blocks: call it from a thread."""

    def __init__(self, *, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes

    def tidy(self, wanted: Collection[str]) -> None:
        """Make the folder, and take out what a crash left behind: half parts, and parts of no upload."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if path.name not in wanted:
                path.unlink()

    def names(self) -> set[str]:
        """The parts that are there."""
        return {path.name for path in self._folder.iterdir() if not path.suffix}

    def receive(self) -> Incoming:
        """Somewhere to put a part that is arriving. Raises DiskFull."""
        left = shutil.disk_usage(self._folder).free
        if left < self._min_free_bytes:
            raise DiskFull(f"Only {left // 2**20} MiB are left on the disk of {self._folder}. Free some space.")
        return Incoming(folder=self._folder, max_bytes=MAX_PART_BYTES, param="data")

    def assemble(self, part_ids: Sequence[str], incoming: Incoming, *, md5: str | None = None) -> None:
        """All parts, one after another, a piece at a time. Raises InvalidRequest, TooLarge, DiskFull."""
        checksum = hashlib.md5(usedforsecurity=False)
        for part_id in part_ids:
            path = self._folder / part_id
            try:
                with path.open("rb") as file:
                    while piece := file.read(PIECE_BYTES):
                        checksum.update(piece)
                        incoming.write(piece)
            except OSError as error:
                raise DataDamaged(f"Cannot read {path}: {error.strerror}. Upload the part again.") from error
        if md5 is not None and checksum.hexdigest() != md5.lower():
            raise InvalidRequest(f"The parts have the MD5 {checksum.hexdigest()}.", param="md5")

    def remove(self, part_ids: Collection[str]) -> None:
        """Nothing happens where they are gone already."""
        for part_id in part_ids:
            (self._folder / part_id).unlink(missing_ok=True)
