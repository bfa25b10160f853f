"""Where a store's index of one encoder lies: the first one in the store's folder, later ones below it.

stores/<id>/                 the index of the encoder with which the store was made
stores/<id>/models/<tag>/    that of another, to which the store has moved or is to move
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from penstock.search.manifest import NAME, read_manifest

BELOW = "models"


def folder_of(base: Path, model: str) -> Path:
    """Where the index of this encoder is, or is to be made."""
    beside = folder_beside(base, model)
    if (beside / NAME).exists():
        return beside
    manifest = read_manifest(base)
    if manifest is not None:
        return base if manifest.model == model else beside
    # The store's first index is to be made, or that of its first encoder has been dropped.
    return beside if (base / BELOW).exists() else base


def folder_beside(base: Path, model: str) -> Path:
    return base / BELOW / hashlib.blake2b(model.encode(), digest_size=8).hexdigest()


def drop_others(base: Path, model: str) -> int:
    """Remove the indexes of all other encoders than this one. Returns how many there were."""
    kept, dropped = folder_of(base, model), 0
    for folder in (base / BELOW).glob("*"):
        if folder != kept:
            shutil.rmtree(folder)
            dropped += 1
    if kept != base and (base / NAME).exists():
        (base / NAME).unlink()  # first: without a manifest nothing of it counts
        for path in base.iterdir():
            if path.name != BELOW:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        dropped += 1
    return dropped
