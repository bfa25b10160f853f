"""One HTTP/1.1 connection to an engine, as thin as it gets: its cost is paid for every token of every answer.

A general client (aiohttp) takes about six times as much CPU for a request and twice as much for a token. What is left
out here is what engines do not need: redirects, cookies, compression, proxies.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from typing import cast

import httptools

HIGH_WATER_BYTES = 64 * 1024
"""An engine that is ahead of its reader by so much is not read from."""
MAX_HEAD_BYTES = 64 * 1024
KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
"""A server that has vanished without a word is found out within 25 s, however long it may think."""
NO_BODY = frozenset({204, 304})


class Broken(ConnectionError):
    """The connection ended, or what came over it is not HTTP."""


class Headers(Mapping[str, str]):
    """By name in any case; of one that came twice, the last."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def put(self, name: bytes, value: bytes) -> None:
        self._values[name.decode("latin-1").lower()] = value.decode("latin-1")

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Connection(asyncio.Protocol):
    """`send`, then `head`, then `read` until it gives nothing more; each raises Broken, or what `fail` was given.

    Where the answer has been read to its end `is_reusable` says whether the next one may be asked for.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._begin()
        self.answers = 0
        """How many have been read to their end."""

    def _begin(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._head_bytes = 0
        self._is_paused = False
        self._has_head = self._has_end = False
        self._ends_with_connection = self._keeps_open = False
        self._error: BaseException | None = None
        self.status = 0
        self.headers = Headers()
        self.has_begun = False
        """Whether anything of the answer has come."""

    # --- for whoever asks -----------------------------------------------------

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._begin()
        self._transport.write(request)

    async def head(self) -> None:
        """`status` and `headers` are there when this returns."""
        while not self._has_head:
            await self._wait()

    async def read(self) -> bytes:
        """What has come, as soon as there is something; b"" when the body has ended."""
        while not self._parts:
            if self._has_end:
                return b""
            await self._wait()
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return data

    @property
    def at_end(self) -> bool:
        return self._has_end and not self._parts

    def pause(self) -> None:
        """Leave what comes to the kernel until the next read, and so to the engine to wait."""
        if not self._is_paused and not self._has_end and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    @property
    def is_reusable(self) -> bool:
        return (
            self.at_end
            and self._error is None
            and self._keeps_open
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def fail(self, error: BaseException) -> None:
        """Wake the reader with `error`, and close: the engine stops."""
        self._fail(error)
        self.close()

    def close(self) -> None:
        """At once: what is not yet sent is of no use to anybody."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        if self._is_paused:
            self._is_paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        assert self._waiter is None, "a connection has one reader"
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if self._error is None and not self._has_end:
            self._error = error
        self._wake()

    # --- asyncio ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is not registered as one
        keep_alive(transport)

    def data_received(self, data: bytes) -> None:
        self.has_begun = True
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(Broken(f"not HTTP: {error}"))
            return
        if not self._has_head and self._head_bytes > MAX_HEAD_BYTES:
            self.fail(Broken("a head without an end"))
        elif self._size > HIGH_WATER_BYTES:
            self.pause()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._has_head and self._ends_with_connection and exc is None and self._error is None:
            self._has_end = True
        self._fail(Broken(f"the connection was lost ({type(exc).__name__})" if exc else "the connection was closed"))

    # --- httptools --------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.put(name, value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 and 103 come before the answer
            self.headers = Headers()
            return
        self.status, self._has_head = status, True
        framed = "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "")
        self._ends_with_connection = not (framed or status in NO_BODY)
        self._keeps_open = self._parser.should_keep_alive() and not self._ends_with_connection
        self._wake()

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._size += len(body)
        self._wake()

    def on_message_complete(self) -> None:
        if not self._has_head:
            return
        if self._has_end:
            self._error = Broken("more than was asked for")
            return
        self._has_end = True
        self.answers += 1
        self._wake()


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Notice a peer that is gone without having said so."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        raw.setsockopt(socket.IPPROTO_TCP, option, value)
