"""An engine behind any OpenAI-compatible server: vLLM, TGI, SGLang, llama.cpp, Ollama, and the providers' APIs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, Overloaded, PenstockError, StageUnavailable
from penstock.core.types import Delta, Prompt, Usage
from penstock.flow.ticker import Ticker
from penstock.generate.faults import STAGE, fault_of
from penstock.generate.http1 import Connection
from penstock.generate.keepalive import Connections
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
        ticker: Ticker | None = None,
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
        self._ticker = ticker or Ticker(shortest_s=0.0)
        self._connections = Connections(url=self._url, connect_s=self._limits.connect_s)

    async def start(self) -> None:
        """From now on it can be asked; connects to nothing yet."""
        self._connections.start()

    async def stop(self) -> None:
        """Close all connections; answers still under way end in StageUnavailable."""
        self._connections.stop()

    async def healthy(self, ctx: Context) -> bool:
        """Whether the server lists its models within the time left. Never raises for a sick server."""
        connections = self._open()
        try:
            async with asyncio.timeout(ctx.remaining_s()):
                connection = await connections.take()
                try:
                    connection.send(connections.request("GET", "/models", {}))
                    await connection.head()
                    while await connection.read():
                        pass
                finally:
                    connections.give_back(connection)
                return connection.status < 500
        except (TimeoutError, OSError):
            return False

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        """Deltas; the last one has `finish` and `usage`. Closing it closes the connection, so the engine stops."""
        ctx.check(STAGE)
        connections = self._open()
        key = await self._keys.take(ctx, tokens=self._about(prompt))
        request = self._request(prompt, ctx, key.headers)
        connection = await self._connect(ctx)

        def cut(error: PenstockError) -> None:
            connection.fail(error)  # whichever it is by then

        watch = Watch(ctx=ctx, stage=STAGE, on_expiry=cut)
        if self._streamed:
            watch.expect("first token", self._limits.first_token_s)
        try:
            connection.send(request)
            try:
                await connection.head()
            except OSError as error:
                if not connection.answers or connection.has_begun or watch.error is not None:
                    raise self._unreachable(error) from error
                # The server closed an idle connection while the request was on its way: it has not seen it.
                connections.give_back(connection)
                connection = await self._connect(ctx, fresh=True)
                connection.send(request)
                await self._head(connection)
            self._keys.heard(key, connection.status, connection.headers)
            if connection.status != 200:
                if connection.status in (401, 403) and self._keys.has_ready:
                    raise Overloaded(f"The engine of '{self.model}' refused one of our keys.", retry_after_s=0.0)
                raise await self._refusal(connection)
            reading = Reading(model=self.model, limits=self._limits)
            if self._streamed and media_type(connection) == "text/event-stream":
                async with aclosing(read_stream(connection, reading, watch, self._limits, self._ticker)) as deltas:
                    async for delta in deltas:
                        yield delta
            else:
                await self._read_whole(connection, reading, watch)
            yield Delta(text=reading.drain(), finish=reading.finish, usage=self._usage(prompt, reading))
        finally:
            watch.stop()
            connections.give_back(connection)

    def _about(self, prompt: Prompt) -> int:
        """Tokens that the request may cost, for a provider's limit."""
        asked = sum(len(message.content) for message in prompt.messages)
        return self._tokens.chars(asked) + (prompt.sampling.max_tokens or 0)

    def _request(self, prompt: Prompt, ctx: Context, key: dict[str, str]) -> bytes:
        body = request_body(
            prompt,
            model=self._upstream_model,
            api=self._api,
            streamed=self._streamed,
            ask_usage=self._ask_usage,
            limit_field=self._limit_field,
        )
        headers = {
            **key,
            "Content-Type": "application/json",
            "X-Request-Id": ctx.request_id,
            "X-Penstock-Timeout-Ms": str(int(ctx.remaining_s() * 1000)),
        }
        return self._connections.request("POST", PATHS[self._api], headers, body)

    async def _connect(self, ctx: Context, *, fresh: bool = False) -> Connection:
        try:
            if ctx.remaining_s() > self._limits.connect_s:
                return await self._connections.take(fresh=fresh)
            async with asyncio.timeout(ctx.remaining_s()):
                return await self._connections.take(fresh=fresh)
        except TimeoutError as error:
            if ctx.remaining_s() <= 0.001:
                raise DeadlineExceeded(stage=STAGE) from error
            raise StageUnavailable(STAGE, f"the engine of '{self.model}' does not answer in time") from error
        except OSError as error:
            raise self._unreachable(error) from error

    async def _head(self, connection: Connection) -> None:
        try:
            await connection.head()
        except OSError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: OSError) -> StageUnavailable:
        return StageUnavailable(STAGE, f"the engine of '{self.model}' cannot be reached ({type(error).__name__})")

    async def _refusal(self, connection: Connection) -> PenstockError:
        body = b""
        try:
            async with asyncio.timeout(self._limits.connect_s):
                while len(body) < MAX_FAULT_BYTES and (data := await connection.read()):
                    body += data
        except (TimeoutError, OSError, PenstockError):
            # The status says enough; the body would only have explained it.
            body = b""
        return fault_of(connection.status, connection.headers, read_fault(body), model=self.model)

    async def _read_whole(self, connection: Connection, reading: Reading, watch: Watch) -> None:
        if media_type(connection) != "application/json":
            raise reading.broken(f"'{media_type(connection)}' instead of an answer")
        watch.rest()  # until it is all there; the deadline is enough
        body = bytearray()
        try:
            while (data := await connection.read()) and len(body) <= self._limits.whole_bytes:
                body += data
        except OSError as error:
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

    def _open(self) -> Connections:
        if not self._connections.is_open:
            raise StageUnavailable(STAGE, f"the engine of '{self.model}' has not been started")
        return self._connections


def media_type(connection: Connection) -> str:
    return connection.headers.get("content-type", "").partition(";")[0].strip().lower()
