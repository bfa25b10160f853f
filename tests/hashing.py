"""An encoder for tests that are not about encoding: the port's contract, kept by hashing words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from penstock.core.context import Context
from penstock.core.ports import TextKind
from penstock.core.types import Vectors

DIMENSION = 64


class HashingEmbedder:
    """Words, hashed into a few dozen dimensions: near enough to meaning for a handful of documents."""

    model = "hashing-64"
    dimension = DIMENSION

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        ctx.check("embed")
        vectors = np.full((len(texts), DIMENSION), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, zlib.crc32(word.encode()) % DIMENSION] += 1.0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class WordTokenizer:
    """Counts words and marks."""

    max_tokens = 128

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]

    def cut(self, texts: Sequence[str], max_tokens: int) -> list[str]:
        return [" ".join(re.findall(r"\w+|[^\w\s]", text)[:max_tokens]) for text in texts]
