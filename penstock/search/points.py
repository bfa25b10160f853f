"""Entries become the shard's points, and points become hits."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import msgspec
from qdrant_edge import Point

from penstock.core.errors import DataDamaged
from penstock.core.types import Entry, Hit, Vector
from penstock.search.filters import (
    FILE,
    FILE_KEY,
    GROUPS,
    TOKENS,
    WRITE,
    attribute_token,
    group_tokens,
    key_of,
    numbers,
)
from penstock.search.proof import checksum, sketch_of
from penstock.search.words import Words

DENSE, SPARSE = "meaning", "words"
"""Names of the two vectors of a point."""

ENTRY = "e"
"""Payload field with the whole entry as JSON: one string crosses from Rust faster than a tree of values."""

VERSION = "v"
"""Payload field with the entry's version, for removals that keep one."""

EMBEDDED = "h"
"""Payload field with the key of what the encoder read, to find a vector that is there already."""

CHECK = "c"
"""Payload field with the checksum of `ENTRY`."""

_decoder = msgspec.json.Decoder(Entry)


def point_ids(chunk_id: str) -> tuple[UUID, UUID]:
    """The two places in which a chunk can lie.

    A write puts a chunk into the place that is free, and frees the other one when it commits: until
    then the old chunk is untouched, and an interrupted write can be taken back.
    """
    digest = bytearray(hashlib.blake2b(chunk_id.encode(), digest_size=16).digest())
    digest[15] &= 0xFE
    first = UUID(bytes=bytes(digest))
    digest[15] |= 1
    return first, UUID(bytes=bytes(digest))


def point_of(entry: Entry, vector: Vector, *, place: UUID, write: int, words: Words) -> Point:
    """The point that holds an entry, marked with the number of the write that put it there."""
    if not entry.sketch:
        entry = msgspec.structs.replace(entry, sketch=sketch_of(vector))
    text = msgspec.json.encode(entry).decode()
    payload: dict[str, Any] = {
        ENTRY: text,
        CHECK: checksum(text),
        EMBEDDED: key_of(entry.embedded),
        FILE: entry.file_id,
        FILE_KEY: key_of(entry.file_id),
        VERSION: entry.version,
        WRITE: write,
        TOKENS: [attribute_token(key, value) for key, value in entry.attributes.items()],
        GROUPS: group_tokens(entry.groups),
        **numbers(entry.attributes),
    }
    return Point(place, {DENSE: vector.tolist(), SPARSE: words.of_entry(entry)}, payload)


def entry_of(place: object, payload: dict[str, Any]) -> Entry:
    """The entry that the point at `place` holds; `payload` has its ENTRY and CHECK. Raises DataDamaged."""
    text = payload.get(ENTRY)
    if not isinstance(text, str) or payload.get(CHECK) != checksum(text):
        raise DataDamaged(f"The passage at {place} is not what was written there.")
    entry = _decoder.decode(text)
    if place not in point_ids(entry.chunk.id):
        raise DataDamaged(f"The passage at {place} belongs elsewhere.")
    return entry


def hit_of(entry: Entry, *, store_id: str, score: float, dense: float | None, lexical: float | None) -> Hit:
    """An entry that was found."""
    return Hit(
        store_id=store_id,
        file_id=entry.file_id,
        filename=entry.filename,
        chunk=entry.chunk,
        title=entry.title,
        score=score,
        dense=dense,
        lexical=lexical,
        attributes=entry.attributes,
    )
