"""What was replaced or deleted is cleared away: the live chunks are copied into a new segment beside the old one.

The shard only ever appends, and its own way of tidying up would keep searches waiting for seconds. So the copy is made
with writes waiting and searches going on, and the manifest puts it in the old one's place. Killed at any moment, the
store has one or the other; the one that the manifest does not name is removed at the next start.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec
import numpy as np

from penstock.core.types import Entry, Vector
from penstock.search.live import LiveSegment
from penstock.search.manifest import Manifest, write_manifest
from penstock.search.words import Words

AT_ONCE = 512
BYTES_A_CHUNK = 120
"""Of the shard's list of ids, for each chunk that is there: three times what one insertion takes."""
TOLERATED_BYTES = 4 << 20
"""Of the same: some 100,000 chunks that are not there any more are never worth a copy."""
SEGMENT = re.compile(r"live(?:-(\d+))?")


def is_worthwhile(segment: Path, chunks: int) -> bool:
    """Whether most of what was ever written is gone. Costs a `stat`; the list of ids grows with every write."""
    listed = sum(path.stat().st_size for path in segment.glob("segments/*/mutable_id_tracker.mappings"))
    return listed > TOLERATED_BYTES + BYTES_A_CHUNK * chunks


def compact(live: LiveSegment, *, folder: Path, manifest: Manifest, words: Words) -> tuple[LiveSegment, Manifest]:
    """A new segment with the chunks of `live`, named in a new manifest. Nobody may write to `live` meanwhile."""
    name = _next(manifest.segments[-1])
    manifest = msgspec.structs.replace(manifest, segments=(*manifest.segments[:-1], name))
    new = LiveSegment(folder=folder / name, manifest=manifest, words=words)
    new.create()
    new.open()
    group: list[tuple[Entry, Vector]] = []
    for pair in live.entries():
        group.append(pair)
        if len(group) == AT_ONCE:
            _copy(group, new)
    _copy(group, new)
    new.flush()
    write_manifest(folder, manifest)
    return new, manifest


def remove_leftovers(folder: Path, manifest: Manifest) -> None:
    """Segments that no manifest names: of a copy that was broken off, or that has been replaced."""
    for path in folder.iterdir():
        if SEGMENT.fullmatch(path.name) and path.is_dir() and path.name not in manifest.segments:
            shutil.rmtree(path)


def _copy(group: list[tuple[Entry, Vector]], new: LiveSegment) -> None:
    if group:
        new.apply([entry for entry, _ in group], np.stack([vector for _, vector in group]), [])
        group.clear()


def _next(name: str) -> str:
    match = SEGMENT.fullmatch(name)
    return f"live-{int(match[1] or 0) + 1 if match else 1}"
