"""Questions of many callers become one pass through the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from penstock.core.context import Context, start_context
from penstock.core.ports import Embedder, TextKind
from penstock.core.types import Principal, Vector, Vectors
from penstock.flow.batcher import Batcher, BatchReport

CHARS_A_TOKEN = 4
"""Near enough for putting texts of like length together; the encoder counts exactly."""
BATCH_TIMEOUT_S = 60.0
"""Bounds a pass itself; each caller has its own deadline beside it."""
NOBODY = Principal(tenant="", scopes=())
"""A batch carries questions of several tenants and is nobody's."""


class BatchedEmbedder:
    """Wraps an `Embedder`. Queries go in batches across callers; passages are many already and go straight through."""

    def __init__(
        self,
        *,
        embedder: Embedder,
        max_tokens: int = 2_048,
        max_items: int = 256,
        max_waiting: int = 4_096,
        workers: int = 1,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self._embedder = embedder
        self._batcher: Batcher[str, Vector] = Batcher(
            name="embed",
            run=self._run,
            size_of=lambda text: len(text) // CHARS_A_TOKEN + 2,
            max_size=max_tokens,
            max_items=max_items,
            max_waiting=max_waiting,
            workers=workers,
            observe=observe,
        )

    @property
    def model(self) -> str:
        return self._embedder.model

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        """Raises Overloaded when too many wait, DeadlineExceeded, StageUnavailable."""
        if kind == "passage":
            return await self._embedder.embed(texts, ctx, kind=kind)
        vectors = await self._batcher.submit_many(texts, ctx)
        return np.stack(vectors) if vectors else np.empty((0, self.dimension), dtype=np.float32)

    async def stop(self) -> None:
        """Refuse new questions and wait for those under way."""
        await self._batcher.stop()

    async def _run(self, texts: Sequence[str]) -> Sequence[Vector | BaseException]:
        ctx = start_context(principal=NOBODY, timeout_s=BATCH_TIMEOUT_S)
        return list(await self._embedder.embed(texts, ctx, kind="query"))
