"""The same question asked by many at once is encoded once.

Searches are not shared so: a search that began before a deletion was answered may still find what was deleted, and
whoever asks after the answer must not be given its result. A question's vector never changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.core.context import Context, Priority
from penstock.core.ports import Embedder, TextKind
from penstock.core.types import Vectors
from penstock.flow.singleflight import SingleFlight


class Asked(msgspec.Struct, frozen=True):
    """What makes two questions one; urgent callers do not wait for a patient one's turn."""

    tenant: str
    priority: Priority
    text: str


class SharedEmbedder:
    """Wraps an `Embedder`. Vectors are shared between callers: do not change them."""

    def __init__(self, *, embedder: Embedder) -> None:
        self._embedder = embedder
        self._flights: SingleFlight[Asked, Vectors] = SingleFlight(name="embed")

    @property
    def model(self) -> str:
        return self._embedder.model

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        """As the wrapped one's; only single questions are shared."""
        if kind != "query" or len(texts) != 1:
            return await self._embedder.embed(texts, ctx, kind=kind)
        asked = Asked(ctx.principal.tenant, ctx.priority, texts[0])
        return await self._flights.do(asked, lambda: self._embedder.embed(texts, ctx, kind=kind), ctx)
