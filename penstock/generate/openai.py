"""An engine behind any OpenAI-compatible server: vLLM, TGI, SGLang, llama.cpp, Ollama, and the providers' APIs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp
import msgspec

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, PenstockError, StageUnavailable
from penstock.core.types import Delta, Prompt, Usage
from penstock.generate.faults import STAGE, fault_of
from penstock.generate.pacing import KeyRing
from penstock.generate.stream import Limits, Reading, read_stream
from penstock.generate.tokens import Estimate, TokenCount
from penstock.generate.watch import Watch
from penstock.generate.wire import Api, LimitField, event_decoder, read_fault, request_body

MAX_FAULT_BYTES = 64 * 1024
PATHS = {"chat": "/chat/completions", "completions": "/completions"}


class OpenAIGenerator:
    """Streams answers of one model from one server. `start` opens the connection pool, `stop` closes it.

    `url` ends in `/v1` or whatever stands before `/chat/completions`. Raises StageUnavailable when the server is down
    or says something unusable, Overloaded when it asks to wait, DeadlineExceeded, InvalidRequest. An answer whose
    last delta has a `finish` is whole; a broken one ends in an error.
    """

    def __init__(
        self,
        *,
        model: str,
        url: str,
        upstream_model: str = "",
        keys: KeyRing | None = None,
        limits: Limits | None = None,
        api: Api = "chat",
        streamed: bool = True,
        ask_usage: bool = True,
        limit_field: LimitField = "max_tokens",
        tokens: TokenCount | None = None,
    ) -> None:
        self.model = model
        self._url = url.rstrip("/")
        self._upstream_model = upstream_model or model
        self._keys = keys or KeyRing()
        self._limits = limits or Limits()
        self._api: Api = api
        self._streamed, self._ask_usage = streamed, ask_usage
        self._limit_field: LimitField = limit_field
        self._tokens = tokens or Estimate()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool; connects to nothing yet."""
        # No bound on connections here: admission and the pool of replicas decide how many requests are under way.
        # No cookies, redirects, proxies or compression: nothing that a server says changes where our keys go.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s),
        )

    async def stop(self) -> None:
        """Close the pool; answers still under way end in StageUnavailable."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def healthy(self, ctx: Context) -> bool:
        """Whether the server lists its models within the time left. Never raises for a sick server."""
        try:
            async with asyncio.timeout(ctx.remaining_s()):
                async with self._open().get(f"{self._url}/models", allow_redirects=False) as response:
                    return response.status < 500
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        """Deltas; the last one has `finish` and `usage`. Closing it closes the connection, so the engine stops."""
        ctx.check(STAGE)
        response = await self._post(prompt, ctx)
        watch = Watch(ctx=ctx, stage=STAGE, on_expiry=lambda error: _cut(response, error))
        reading = Reading(model=self.model, limits=self._limits)
        try:
            if self._streamed and response.content_type == "text/event-stream":
                async with aclosing(read_stream(response.content, reading, watch, self._limits)) as deltas:
                    async for delta in deltas:
                        yield delta
            else:
                await self._read_whole(response, reading, watch)
            yield Delta(text=reading.drain(), finish=reading.finish, usage=self._usage(prompt, reading))
        finally:
            watch.stop()
            # Where the body has been read to its end this gives the connection back; else it closes it.
            response.close()

    async def _post(self, prompt: Prompt, ctx: Context) -> aiohttp.ClientResponse:
        key = await self._keys.take(ctx)
        body = request_body(
            prompt,
            model=self._upstream_model,
            api=self._api,
            streamed=self._streamed,
            ask_usage=self._ask_usage,
            limit_field=self._limit_field,
        )
        left_s = ctx.remaining_s()
        headers = {
            **key.headers,
            "Content-Type": "application/json",
            "X-Request-Id": ctx.request_id,
            "X-Penstock-Timeout-Ms": str(int(left_s * 1000)),
        }
        within_s = min(left_s, self._limits.first_token_s) if self._streamed else left_s
        try:
            async with asyncio.timeout(within_s):
                response = await self._open().post(
                    self._url + PATHS[self._api], data=body, headers=headers, allow_redirects=False
                )
        except TimeoutError as error:
            # aiohttp's own connect timeout is a TimeoutError too.
            if ctx.remaining_s() <= 0.001:
                raise DeadlineExceeded(stage=STAGE) from error
            raise StageUnavailable(STAGE, f"the engine of '{self.model}' does not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise StageUnavailable(
                STAGE, f"the engine of '{self.model}' cannot be reached ({type(error).__name__})"
            ) from error
        self._keys.heard(key, response.status, response.headers)
        if response.status != 200:
            raise await self._refusal(response, ctx)
        return response

    async def _refusal(self, response: aiohttp.ClientResponse, ctx: Context) -> PenstockError:
        body = b""
        try:
            async with asyncio.timeout(min(ctx.remaining_s(), self._limits.connect_s)):
                while len(body) < MAX_FAULT_BYTES and (data := await response.content.readany()):
                    body += data
        except (TimeoutError, aiohttp.ClientError, OSError):
            # The status says enough; the body would only have explained it.
            body = b""
        finally:
            response.close()
        return fault_of(response.status, response.headers, read_fault(body), model=self.model)

    async def _read_whole(self, response: aiohttp.ClientResponse, reading: Reading, watch: Watch) -> None:
        if response.content_type != "application/json":
            raise reading.broken(f"'{response.content_type}' instead of an answer")
        body = bytearray()
        try:
            while (data := await response.content.readany()) and len(body) <= self._limits.whole_bytes:
                body += data
        except (aiohttp.ClientError, OSError, PenstockError) as error:
            raise watch.error or reading.broken("only a part of its answer") from error
        if data:
            raise reading.broken(f"more than {self._limits.whole_bytes} bytes")
        try:
            event = event_decoder.decode(body)
        except msgspec.DecodeError as error:
            raise reading.broken("an answer that is not JSON") from error
        reading.take_event(event)
        if reading.finish is None:
            raise reading.broken("an answer without an end")

    def _usage(self, prompt: Prompt, reading: Reading) -> Usage:
        if reading.usage is not None:
            return reading.usage
        asked = sum(self._tokens.count(message.content) for message in prompt.messages)
        # Servers send a token an event, so events count tokens well; a whole answer has to be measured.
        return Usage(prompt=asked, output=reading.events if self._streamed else self._tokens.chars(reading.chars))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise StageUnavailable(STAGE, f"the engine of '{self.model}' has not been started")
        return self._session


def _cut(response: aiohttp.ClientResponse, error: PenstockError) -> None:
    """End a response from a timer: wake its reader with `error`, and close the connection so that the engine stops."""
    response.content.set_exception(error)
    response.close()
