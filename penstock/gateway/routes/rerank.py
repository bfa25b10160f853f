"""`/v1/rerank`, and `/v2/rerank` where newer Cohere clients look: the caller's own texts, put in order."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import UNSET

from penstock.core.ports import Tokenizer
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Headers, Reply
from penstock.gateway.wire.rerank import (
    ApiVersion,
    BilledUnits,
    RerankAnswer,
    RerankedText,
    RerankMeta,
    RerankRequest,
    RerankResult,
)
from penstock.pipeline.ranking import Ranking

encode = msgspec.json.Encoder().encode

FEWEST_CHARS_A_TOKEN = 1
"""A text with no more characters than the limit has tokens cannot be over it, and need not be counted."""


class Rerank:
    """Nothing of a request is kept."""

    def __init__(self, *, ranking: Ranking, tokenizer: Tokenizer) -> None:
        self._ranking = ranking
        self._tokenizer = tokenizer

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="POST",
                path=f"/{version}/rerank",
                name="createRerank" if version == "v1" else "createRerankV2",
                summary="Texts in the order of how well they fit a question, in Cohere's shape.",
                handle=self.create,
                body=RerankRequest,
                answer=RerankAnswer,
                ends_with_caller=True,
                door="search",
            )
            for version in ("v1", "v2")
        ]

    async def create(self, call: Call) -> Reply:
        asked: RerankRequest = call.body
        sent = [document if isinstance(document, str) else document.text for document in asked.documents]
        texts = await self._cut(sent, asked.max_tokens_per_doc)
        ranked = await self._ranking.rank(asked.query, texts, call.ctx, model=asked.model)
        results = [
            RerankResult(
                index=place,
                relevance_score=score,
                document=RerankedText(text=sent[place]) if asked.return_documents else UNSET,
            )
            for place, score in ranked.results[: asked.top_n]
        ]
        answer = RerankAnswer(
            id=f"rerank-{call.ctx.request_id.removeprefix('req_')}",
            model=ranked.model,
            results=results,
            meta=RerankMeta(
                api_version=ApiVersion(version="2" if call.scope["path"].startswith("/v2") else "1"),
                billed_units=BilledUnits(),
                warnings=list(ranked.degraded) or UNSET,
            ),
        )
        headers: Headers = ()
        if ranked.degraded:
            headers = ((b"x-penstock-degraded", "; ".join(ranked.degraded).encode("ascii", "replace")),)
        return Reply(body=encode(answer), headers=headers)

    async def _cut(self, texts: list[str], max_tokens: int) -> list[str]:
        long = [place for place, text in enumerate(texts) if len(text) > max_tokens * FEWEST_CHARS_A_TOKEN]
        if not long:
            return texts
        cut = await asyncio.to_thread(self._tokenizer.cut, [texts[place] for place in long], max_tokens)
        texts = list(texts)
        for place, text in zip(long, cut, strict=True):
            texts[place] = text
        return texts
