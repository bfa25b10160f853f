"""Texts that come with a request, in the order of how well they fit a question."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, InvalidRequest, NotFound, Overloaded, PenstockError, StageUnavailable
from penstock.core.ports import Reranker
from penstock.core.types import Chunk, Hit

OUR_CHOICE = frozenset({"", "auto", "default"})
SHARE = 0.7
"""Of the time left, what the reranker may use: the rest is for the comparison that stands in for it."""


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """Places in the texts with their scores, best first, and who said so."""

    model: str
    results: tuple[tuple[int, float], ...]
    degraded: tuple[str, ...] = ()


class Ranking:
    """`reranker` is the stage of the settings, None where they name none; `similarity` is always there."""

    def __init__(self, *, reranker: Reranker | None, similarity: Reranker, max_query_chars: int) -> None:
        self._reranker = reranker
        self._similarity = similarity
        self._max_query_chars = max_query_chars

    def models(self) -> tuple[str, ...]:
        """Names that `rank` takes, the one of its own choice first."""
        named = (self._reranker,) if self._reranker is not None else ()
        return tuple(reranker.model for reranker in (*named, self._similarity))

    async def rank(self, query: str, texts: Sequence[str], ctx: Context, *, model: str = "") -> Ranked:
        """A reranker that does not answer is replaced by the similarity, and the answer says so.

        Raises InvalidRequest, NotFound for an unknown model, DeadlineExceeded.
        """
        if not query.strip():
            raise InvalidRequest("The query is empty. Send some text.", param="query", code="empty_question")
        if len(query) > self._max_query_chars:
            raise InvalidRequest(
                f"The query has {len(query)} characters; the limit is {self._max_query_chars}.",
                param="query",
                code="question_too_long",
            )
        hits = [_hit(place, text) for place, text in enumerate(texts)]
        degraded: tuple[str, ...] = ()
        reranker = self._named(model)
        if reranker is not self._similarity:
            try:
                ranked = await reranker.rerank(query, hits, ctx.within(SHARE * ctx.remaining_s()))
                return _ranked(reranker.model, ranked)
            except (StageUnavailable, Overloaded, DeadlineExceeded) as error:
                degraded = (f"rerank: {reason_of(error)}; {self._similarity.model} compared instead",)
        ranked = await self._similarity.rerank(query, hits, ctx)
        return _ranked(self._similarity.model, ranked, degraded)

    def _named(self, model: str) -> Reranker:
        if model == self._similarity.model or (model in OUR_CHOICE and self._reranker is None):
            return self._similarity
        if self._reranker is not None and (
            model in OUR_CHOICE or model in (self._reranker.model, self._reranker.model.partition("@")[0])
        ):
            return self._reranker
        raise NotFound("rerank model", model, param="model")


def reason_of(error: PenstockError) -> str:
    """Why a reranker did not answer, without what only its operator should know."""
    if isinstance(error, DeadlineExceeded):
        return "no answer in its time"
    return "it is busy" if isinstance(error, Overloaded) else "it is not available"


def _hit(place: int, text: str) -> Hit:
    chunk = Chunk(id=str(place), position=place, text=text)
    return Hit(store_id="", file_id="", filename="", chunk=chunk, title="", score=0.0)


def _ranked(model: str, hits: Sequence[Hit], degraded: tuple[str, ...] = ()) -> Ranked:
    results = tuple((hit.chunk.position, hit.score) for hit in hits)
    return Ranked(model=model, results=results, degraded=degraded)
