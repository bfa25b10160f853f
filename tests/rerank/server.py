"""A rerank server that behaves as its test wants: Cohere's shape and TEI's, slow, refusing, or talking nonsense."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Self

from aiohttp import web


class RerankServer:
    """Scores a text by how many of the query's words it has. `answer` replaces that, `pause_s` delays it."""

    def __init__(self) -> None:
        self.pause_s = 0.0
        self.status = 200
        self.headers: dict[str, str] = {}
        self.answer: bytes | None = None
        self.requests: list[tuple[dict[str, Any], Mapping[str, str]]] = []
        self.left = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/rerank", self._cohere)
        app.router.add_post("/rerank", self._tei)
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _cohere(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        scores = enumerate(_scores(body["query"], body["documents"]))
        results = [{"index": index, "relevance_score": score} for index, score in reversed(list(scores))]
        return self._reply({"id": "1", "results": results, "meta": {}})

    async def _tei(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        return self._reply([{"index": i, "score": s} for i, s in enumerate(_scores(body["query"], body["texts"]))])

    async def _read(self, request: web.Request) -> dict[str, Any]:
        body = await request.json()
        self.requests.append((body, request.headers))
        try:
            await asyncio.sleep(self.pause_s)
        except asyncio.CancelledError:
            self.left.set()
            raise
        return body

    def _reply(self, answer: object) -> web.Response:
        body = self.answer if self.answer is not None else json.dumps(answer).encode()
        return web.Response(body=body, status=self.status, headers=self.headers, content_type="application/json")


def _scores(query: str, texts: list[str]) -> list[float]:
    asked = set(query.lower().split())
    return [len(asked & set(text.lower().split())) / max(len(asked), 1) for text in texts]
