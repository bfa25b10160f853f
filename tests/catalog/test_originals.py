"""Uploaded bytes on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.catalog.originals import Originals
from penstock.core.errors import DiskFull


def test_what_a_full_disk_cut_off_leaves_nothing(tmp_path: Path) -> None:
    incoming = Originals(folder=tmp_path, max_bytes=1 << 20, min_free_bytes=0).receive()
    incoming._file.close()
    incoming._file = Path("/dev/full").open("wb")  # noqa: SIM115 - closed by `abandon`
    incoming.write(b"x")  # waits in a buffer, and fails when it is closed

    incoming.abandon()

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    incoming = Originals(folder=tmp_path, max_bytes=1 << 20, min_free_bytes=0).receive()
    incoming._file.close()
    incoming._file = Path("/dev/full").open("wb")  # noqa: SIM115 - likewise

    with pytest.raises(DiskFull):
        incoming.write(b"x" * 100_000)
    incoming.abandon()

    assert list(tmp_path.iterdir()) == []
