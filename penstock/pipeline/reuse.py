"""No text is encoded twice for one store: a passage that did not change, a renamed file, a copy of a page.

What the store holds already is asked for by the hash of what the encoder would read. What this run has encoded and the
index may not hold yet is remembered for a while.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from penstock.core.context import Context
from penstock.core.ports import Embedder
from penstock.core.types import Vector, Vectors

REMEMBERED = 4_096
"""Vectors of this run that are kept: more than can be on their way to the index, and a few megabytes."""


class Holding(Protocol):
    """The part of an index that is asked."""

    async def embedded(self, hashes: Sequence[str]) -> dict[str, tuple[Vector, str]] | None:
        """Vector and sketch (see `Entry.sketch`) of the hashes that are there; None where none is to be used again."""
        ...


class Encoded(NamedTuple):
    """Row i of `vectors` belongs to text i, with the hash of the text and the sketch of a vector that is not new."""

    vectors: Vectors
    hashes: list[str]
    sketches: list[str]
    reused: int


class Once:
    """Encodes only what is new, for one store."""

    def __init__(self, *, index: Holding, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder
        self._recent: OrderedDict[str, Vector] = OrderedDict()

    async def embed(self, texts: Sequence[str], ctx: Context) -> Encoded:
        hashes = [text_hash(text, model=self._embedder.model) for text in texts]
        stored = await self._index.embedded(sorted(set(hashes) - self._recent.keys()))
        if stored is None:
            vectors = await self._embedder.embed(texts, ctx, kind="passage")
            return Encoded(vectors, hashes, [""] * len(texts), 0)
        known = stored | {name: (self._recent[name], "") for name in hashes if name in self._recent}
        new = {name: text for name, text in zip(hashes, texts, strict=True) if name not in known}
        if new:
            encoded = await self._embedder.embed(list(new.values()), ctx, kind="passage")
            for name, vector in zip(new, encoded, strict=True):
                known[name] = vector, ""
                self._remember(name, vector)
        vectors = np.stack([known[name][0] for name in hashes]).astype(np.float32, copy=False)
        return Encoded(vectors, hashes, [known[name][1] for name in hashes], len(texts) - len(new))

    def _remember(self, name: str, vector: Vector) -> None:
        self._recent[name] = vector.copy()  # not the whole batch that it is a row of
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)


def text_hash(text: str, *, model: str) -> str:
    """What the same vector is found by."""
    content = f"{model}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()
