"""Without a cross-encoder: meaning by the built-in encoder and words by BM25, put together as a search does.

Texts that come with the request are no store, so how rare a word is comes from these texts alone.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from qdrant_edge import Bm25, Bm25Config

from penstock.core.context import Context
from penstock.core.ports import Embedder
from penstock.core.types import Hit
from penstock.models.lane import Lane
from penstock.rerank.order import STAGE, ordered, passage_of

MODEL = "penstock-similarity"
SATURATION = 1.2
MEAN_WORDS = 100.0


class SimilarityReranker:
    """Implements `core.ports.Reranker`. Honestly named: it compares, and reads no pair together."""

    def __init__(self, *, embedder: Embedder, dense_weight: float, language: str) -> None:
        self._embedder = embedder
        self._dense_weight = dense_weight
        self._words = Bm25(Bm25Config(k=SATURATION, avg_len=MEAN_WORDS, language=language, ascii_folding=True))
        self._lane = Lane(threads=1, name="rerank-words", stage=STAGE)

    async def start(self) -> None:
        self._lane.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._lane.stop)

    @property
    def model(self) -> str:
        return MODEL

    async def rerank(self, query: str, hits: Sequence[Hit], ctx: Context) -> list[Hit]:
        if not hits:
            return []
        texts = [passage_of(hit) for hit in hits]
        question, passages, words = await asyncio.gather(
            self._embedder.embed([query], ctx, kind="query"),
            self._embedder.embed(texts, ctx, kind="passage"),
            asyncio.wrap_future(self._lane.submit(lambda: self._lexical(query, texts), ctx)),
        )
        cosines = np.clip(passages @ question[0], 0.0, 1.0)
        weight = self._dense_weight
        return ordered(hits, [weight * float(c) + (1 - weight) * w for c, w in zip(cosines, words, strict=True)])

    def _lexical(self, query: str, texts: Sequence[str]) -> list[float]:
        """BM25 of each text as a share of what a very good match would have, 0..1."""
        asked = self._words.embed_query(query)
        vectors = [self._words.embed_document(text) for text in texts]
        weights = [dict(zip(vector.indices, vector.values, strict=True)) for vector in vectors]
        spread = Counter(word for row in weights for word in row)
        rare = {word: math.log(1 + (len(texts) - spread[word] + 0.5) / (spread[word] + 0.5)) for word in asked.indices}
        rarest = math.log(1 + (len(texts) - 0.5) / 1.5)
        reach = math.sqrt(max(len(asked.indices), 1)) * (SATURATION + 1) * rarest
        return [min(1.0, sum(row.get(word, 0.0) * rare[word] for word in asked.indices) / reach) for row in weights]
