"""A store's contents in a canonical form: equal dumps mean equal stores, however they came about.

A vector's hash is that of its sketch, if what is stored agrees with it: rounding differs in the last bit when a stored
vector is stored again, and the sketch stays what the encoder's vector was.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from penstock.core.types import Entry, Vector
from penstock.search.proof import agree, sketch_of


class Line(msgspec.Struct, frozen=True, order=True):
    """One chunk. `rest_hash` covers all else that a hit or a filter can show: headings, title, attributes, access."""

    file_id: str
    version: str
    position: int
    chunk_id: str
    text_hash: str
    vector_hash: str
    rest_hash: str


def line_of(entry: Entry, vector: Vector) -> Line:
    """An entry and its vector as a line of the dump."""
    # Without its ids, which stand in the line: those of uploaded files are random, and the rest is comparable then.
    chunk = msgspec.structs.replace(entry.chunk, id="")
    rest = msgspec.structs.replace(entry, file_id="", chunk=chunk)
    sketch = entry.sketch or sketch_of(vector)
    if not agree([sketch], vector[np.newaxis])[0]:
        sketch = f"damaged {np.asarray(vector, np.float32).tobytes().hex()}"
    return Line(
        file_id=entry.file_id,
        version=entry.version,
        position=entry.chunk.position,
        chunk_id=entry.chunk.id,
        text_hash=_hash(entry.chunk.text.encode()),
        vector_hash=_hash(sketch.encode()),
        rest_hash=_hash(msgspec.json.encode(rest, order="sorted")),
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
