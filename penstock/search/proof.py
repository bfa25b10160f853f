"""What tells damage from data: a checksum of each passage, a sketch of its vector, and sums of files at rest.

A vector is stored rounded, so a checksum of it cannot be known before it is stored. Its sketch is: eight sums of its
numbers with signs, which rounding moves by a hundredth, and a flipped bit that would move an answer by more than
that. A flip too small for the sketch changes a cosine by less than 0.01.
"""

from __future__ import annotations

import os
import re
import zlib
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.core.errors import DataDamaged
from penstock.core.types import Vector, Vectors
from penstock.search.manifest import remedy, sync_folder

SUMS = "at-rest.json"
"""Beside the manifest: the checksum of every file of the segments, as they were when the store was closed."""
REWRITTEN = "edge_config.json"
"""The shard writes this one anew whenever it opens, and refuses what it cannot read."""
PIECE_BYTES = 1 << 20
PAGE_BYTES = 4096
MAPPED = re.compile(r"(?:page_\d+|bitmask|tracker|flags_[ab])\.dat|open-\d+")
"""Files of the shard that are mapped into memory in whole pages."""
CHUNK_BYTES = (32 << 20) - (1 << 16)
"""Vectors lie in files of nearly 32 MiB, made as a whole."""
SIGNS = 8
TOLERANCE = 0.1
SCALE = 1000


@cache
def _signs(dimension: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(20261126)
    return generator.choice(np.asarray([-1.0, 1.0], np.float32), size=(SIGNS, dimension))


def sketch_of(vector: Vector) -> str:
    """A few numbers that stand for a vector as the encoder gave it."""
    sums = _signs(len(vector)) @ np.asarray(vector, np.float32)
    return ",".join(str(round(float(each) * SCALE)) for each in sums)


def agree(sketches: list[str], vectors: Vectors) -> NDArray[np.bool_]:
    """For each row, whether it can be the stored form of the vector that was sketched."""
    if not sketches:
        return np.ones(0, np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = vectors @ _signs(vectors.shape[1]).T
        wanted = np.asarray([_numbers(sketch) for sketch in sketches], np.float32) / SCALE
        return np.asarray((np.abs(sums - wanted) <= TOLERANCE).all(axis=1))


def _numbers(sketch: str) -> list[float]:
    try:
        numbers = [float(part) for part in sketch.split(",")]
    except ValueError:
        numbers = []
    return numbers if len(numbers) == SIGNS else [float("nan")] * SIGNS


def checksum(text: str) -> int:
    """Any flipped bit changes it."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


class Sums(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checksums by path, and one of them all."""

    files: dict[str, int]
    whole: int


def write_sums(folder: Path, segments: tuple[str, ...]) -> None:
    """Note what the closed segments' files hold."""
    files = {name: _sum(path) for name, path in _files(folder, segments)}
    beside = folder / f"{SUMS}.new"
    with beside.open("wb") as file:
        file.write(msgspec.json.encode(Sums(files, _whole(files))))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / SUMS)
    sync_folder(folder)


def take_sums(folder: Path, segments: tuple[str, ...]) -> bool:
    """Compare the files with their sums, and take the sums away: from now on the files change.

    False where there are none, because the process died or had no room for them. Raises DataDamaged where a file is
    not what it was when the store was closed.
    """
    noted = _noted(folder / SUMS)
    if noted is not None:
        found = {name: _sum(path) for name, path in _files(folder, segments)}
        for name in sorted(noted.keys() | found.keys()):
            if noted.get(name) != found.get(name):
                raise DataDamaged(f"{folder / name} is not what was written there. {remedy(folder)}")
        (folder / SUMS).unlink()
        sync_folder(folder)
    return noted is not None


def check_shapes(folder: Path, segments: tuple[str, ...]) -> None:
    """Raise DataDamaged for a mapped file that was cut off: reading behind its end would kill the process."""
    for name, path in _files(folder, segments):
        size = path.stat().st_size
        cut = size % PAGE_BYTES != 0 if MAPPED.fullmatch(path.name) else path.suffix == ".mmap" and size < CHUNK_BYTES
        if size and cut:
            raise DataDamaged(f"{folder / name} is cut off. {remedy(folder)}")


def _noted(file: Path) -> dict[str, int] | None:
    try:
        sums = msgspec.json.decode(file.read_bytes(), type=Sums)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return sums.files if sums.whole == _whole(sums.files) else None


def _whole(files: dict[str, int]) -> int:
    return zlib.crc32(msgspec.json.encode(sorted(files.items())))


def _files(folder: Path, segments: tuple[str, ...]) -> list[tuple[str, Path]]:
    paths = [path for segment in segments for path in (folder / segment).rglob("*")]
    return sorted(
        (path.relative_to(folder).as_posix(), path) for path in paths if path.name != REWRITTEN and path.is_file()
    )


def _sum(path: Path) -> int:
    """The checksum of a file's pieces that are not empty, with their places: most of a shard's files are holes."""
    value = 0
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            place = _next_data(file.fileno(), 0, size)
            while place < size:
                file.seek(place - place % PIECE_BYTES)
                piece = file.read(PIECE_BYTES)
                if piece.strip(b"\0"):
                    value = zlib.crc32(piece, zlib.crc32(b"%d" % (place // PIECE_BYTES), value))
                place = _next_data(file.fileno(), place - place % PIECE_BYTES + PIECE_BYTES, size)
    except OSError as error:
        raise DataDamaged(f"{path} cannot be read: {error.strerror}.") from error
    return value ^ size


def _next_data(handle: int, place: int, size: int) -> int:
    """Where the next bytes are that are not a hole."""
    if not hasattr(os, "SEEK_DATA") or place >= size:
        return place
    try:
        return os.lseek(handle, place, os.SEEK_DATA)
    except OSError:
        return size  # nothing but a hole from here on
