"""A reranker that fails is not asked again and again."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.context import Context
from penstock.core.ports import Reranker
from penstock.core.types import Hit
from penstock.flow.breaker import Breaker
from penstock.flow.retry import TargetBudget, is_passing, retry


class GuardedReranker:
    """Tries again within the request's budget of retries and the target's, behind a circuit breaker."""

    def __init__(self, *, reranker: Reranker, breaker: Breaker) -> None:
        self._reranker = reranker
        self._breaker = breaker
        self._budget = TargetBudget()

    @property
    def model(self) -> str:
        return self._reranker.model

    async def rerank(self, query: str, hits: Sequence[Hit], ctx: Context) -> list[Hit]:
        async def attempt() -> list[Hit]:
            async with self._breaker.attempt():
                return await self._reranker.rerank(query, hits, ctx)

        def passing(error: BaseException) -> bool:
            return is_passing(error) and self._breaker.state != "open"

        return await retry(attempt, ctx=ctx, budget=self._budget, passing=passing)
