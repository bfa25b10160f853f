"""The optional step between search and answer: a reranker reads the best that was found again."""

from __future__ import annotations

import time

import msgspec

from penstock.config import RerankSettings
from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, Overloaded, StageUnavailable
from penstock.core.ports import Reranker
from penstock.core.types import Found, Hit
from penstock.pipeline.degrade import Taken
from penstock.pipeline.economy import Economy
from penstock.pipeline.ranking import reason_of
from penstock.telemetry.timings import Timings


class Reorder:
    """Never fails a question: without a better order it goes on with the one it has, and says why."""

    def __init__(self, *, reranker: Reranker, settings: RerankSettings, economy: Economy) -> None:
        self._reranker = reranker
        self._economy = economy
        self._timeout_s = settings.timeout_s
        self.candidates = settings.candidates

    async def apply(self, query: str, found: Found, ctx: Context, timings: Timings, *, answers: bool) -> Found:
        """`found` with its best `candidates` in the reranker's order, the others behind them."""
        if len(found.hits) < 2:
            return found
        left_out = self._economy.reranking(ctx, answers=answers)
        if left_out is not None:
            return _degraded(found, left_out)
        head, tail = found.hits[: self.candidates], found.hits[self.candidates :]
        began_s = time.perf_counter()
        try:
            with timings.stage("rerank"):
                hits = await self._reranker.rerank(query, head, ctx.within(self._timeout_s))
        except (StageUnavailable, Overloaded, DeadlineExceeded) as error:
            ctx.check("rerank")  # where the whole question's time is up, that is the answer
            if isinstance(error, DeadlineExceeded):
                self._economy.rerank.observe(time.perf_counter() - began_s)
            said = f"rerank: left out, {reason_of(error)}"
            return _degraded(found, Taken(step="rerank", cause="failure", said=said), economy=self._economy)
        self._economy.rerank.observe(time.perf_counter() - began_s)
        return msgspec.structs.replace(found, hits=(*hits, *_behind(hits, tail)))


def _behind(hits: list[Hit], tail: tuple[Hit, ...]) -> list[Hit]:
    """Those that were not read again, in their order, with scores below all that were."""
    lowest = hits[-1].score
    return [msgspec.structs.replace(hit, score=lowest * hit.score) for hit in tail]


def _degraded(found: Found, taken: Taken, *, economy: Economy | None = None) -> Found:
    if economy is not None:
        economy.counted(taken)
    return msgspec.structs.replace(found, degraded=(*found.degraded, taken.said))
