"""A reranker behind a URL: Cohere, vLLM, Jina, or Hugging Face's text-embeddings-inference (TEI)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, Overloaded, PenstockError, StageUnavailable
from penstock.core.types import Hit
from penstock.rerank.order import STAGE, ordered, passage_of
from penstock.rerank.wire import Api, read_scores, request_body

MAX_REPLY_BYTES = 1024 * 1024


class RemoteReranker:
    """Implements `core.ports.Reranker`; one attempt a call. `start` opens the connection pool, `stop` closes it."""

    def __init__(
        self, *, url: str, model: str = "", api: Api = "cohere", key: str = "", connect_timeout_s: float = 2.0
    ) -> None:
        self.model = model or "remote-reranker"
        self._url, self._upstream_model, self._api = url, model, api
        self._key = key
        self._connect_timeout_s = connect_timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Connects to nothing yet."""
        # No cookies, redirects or proxies: nothing that a server says changes where our key and the texts go.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
        )

    async def stop(self) -> None:
        """Close the pool; calls still under way end in StageUnavailable."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def rerank(self, query: str, hits: Sequence[Hit], ctx: Context) -> list[Hit]:
        ctx.check(STAGE)
        if not hits:
            return []
        texts = [passage_of(hit) for hit in hits]
        body = request_body(query, texts, model=self._upstream_model, api=self._api)
        try:
            async with asyncio.timeout(ctx.remaining_s()):
                reply = await self._post(body, ctx)
        except TimeoutError as error:
            if ctx.remaining_s() <= 0.001:
                raise DeadlineExceeded(stage=STAGE) from error
            raise StageUnavailable(STAGE, "the reranker cannot be reached in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise StageUnavailable(STAGE, f"the reranker cannot be reached ({type(error).__name__})") from error
        return ordered(hits, read_scores(reply, count=len(hits), api=self._api))

    async def _post(self, body: bytes, ctx: Context) -> bytes:
        if self._session is None:
            raise StageUnavailable(STAGE, "the reranker has not been started")
        headers = {
            "Content-Type": "application/json",
            "X-Request-Id": ctx.request_id,
            "X-Penstock-Timeout-Ms": str(int(ctx.remaining_s() * 1000)),
        }
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise _refused(response)
            reply = bytearray()
            while data := await response.content.readany():
                reply += data
                if len(reply) > MAX_REPLY_BYTES:
                    response.close()
                    raise StageUnavailable(STAGE, f"the reranker sent more than {MAX_REPLY_BYTES} bytes")
            return bytes(reply)


def _refused(response: aiohttp.ClientResponse) -> PenstockError:
    status, wait = response.status, response.headers.get("Retry-After", "")
    if status == 429 or (status == 503 and wait):
        return Overloaded("The reranker is busy.", retry_after_s=float(wait) if wait.isdigit() else 1.0)
    if status in (401, 403):
        return StageUnavailable(STAGE, f"the reranker refuses our API key (status {status})")
    return StageUnavailable(STAGE, f"the reranker answered with status {status}")
