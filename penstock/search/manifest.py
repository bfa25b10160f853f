"""The manifest of one vector store: what its folder holds, replaced as a whole or not at all."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import msgspec

from penstock.core.errors import DataDamaged, Setup

FORMAT = 3
"""Raised when older programs could no longer read what newer ones write."""

NAME = "manifest.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`segments` are folder names beside the manifest; the last one is live, those before it are sealed.

    All but the last field was decided when the store was made and holds for its life: settings that change
    how text or vectors are stored apply to new stores only.
    """

    format: int = FORMAT
    model: str
    dimension: int
    vector_bits: int
    mean_words: float
    language: str
    segments: tuple[str, ...] = ("live",)
    chunks_at_rest: int | None = None
    """How many chunks there were when the store was last closed; None from the first write on until then.
    A store that has another number when it is opened was damaged in between."""
    check: int = 0
    """Checksum of all the rest."""


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in `folder`; None where there is none. Raises DataDamaged, Setup for a newer format."""
    file = folder / NAME
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataDamaged(f"Cannot read {file}: {error.strerror}. {remedy(folder)}") from error
    try:
        head = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        number = msgspec.json.decode(head.get("format", msgspec.Raw(b"0")), type=int)
        if number > FORMAT:
            raise Setup(f"{folder} was written by a newer Penstock (format {number}); this one reads up to {FORMAT}.")
        if number < FORMAT:
            raise Setup(
                f"{folder} was written by an older Penstock (format {number}); this one reads format {FORMAT}. "
                "Ingest its documents into another data folder."
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataDamaged(f"{file} is not a manifest ({error}). {remedy(folder)}") from error
    if manifest.check != _check(manifest):
        raise DataDamaged(f"{file} is not what was written there. {remedy(folder)}")
    return msgspec.structs.replace(manifest, check=0)


def _check(manifest: Manifest) -> int:
    return zlib.crc32(msgspec.json.encode(msgspec.structs.replace(manifest, check=0)))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest. When this returns, a power cut cannot bring the old one back."""
    beside = folder / f"{NAME}.new"
    manifest = msgspec.structs.replace(manifest, check=_check(manifest))
    with beside.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / NAME)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename is not, until its folder is synced."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remedy(folder: Path) -> str:
    """What to do about a damaged store, in a sentence."""
    return (
        f"Move {folder} away and start again: uploaded files are then read in again by themselves (their originals are "
        "kept apart from it), those of folders by `penstock ingest`. Or put a backup in its place."
    )
