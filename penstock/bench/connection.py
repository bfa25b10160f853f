"""Connections to the server under test: one request each at a time, more of them whenever all are busy."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from penstock.bench.flight import Flight

now_s = time.perf_counter


class Connection(asyncio.Protocol):
    """One connection, kept alive. Its pool hands it flights and hears of their end."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self.flight: Flight | None = None
        self.used = False

    def send(self, flight: Flight) -> None:
        assert self._transport is not None
        assert self.flight is None
        self.flight = flight
        flight.sent_s = now_s()
        self._transport.write(flight.shot.payload)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is not registered as one
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.flight is not None and not self.flight.first_byte_s:
            self.flight.first_byte_s = now_s()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._pool.closed(self)
        flight = self.flight
        if flight is not None and self.used and not flight.first_byte_s and not flight.resent:
            # The server closed an idle connection while the request was on its way; every HTTP client sends it again.
            self.flight, flight.resent = None, True
            self._pool.dispatch(flight)
        else:
            self._fail("connection lost")

    # --- httptools ----------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        flight = self.flight
        if flight is None:
            return
        match name.lower():
            case b"server-timing":
                flight.timing_header = value
            case b"retry-after":
                flight.retry_after = value
            case b"x-penstock-degraded":
                flight.degraded = True

    def on_body(self, body: bytes) -> None:
        if self.flight is not None:
            self.flight.received(body, now_s())

    def on_message_complete(self) -> None:
        flight, self.flight = self.flight, None
        keeps = self._parser.should_keep_alive()
        self.used = True
        if not keeps:
            self.abort()
        if flight is not None:
            flight.status = self._parser.get_status_code()
            flight.finished(now_s())
        if keeps:  # before the end is told: a closed loop's caller sends again at once, and takes this one
            self._pool.free(self)
        if flight is not None:
            self._pool.ended(flight)

    def _fail(self, why: str) -> None:
        flight, self.flight = self.flight, None
        if flight is not None:
            flight.failed(why, now_s())
            self._pool.ended(flight)


class Pool:
    """As many connections as the load needs, up to `most`: beyond that flights wait, and are late, and it shows."""

    def __init__(self, *, host: str, port: int, most: int, on_end: Callable[[Flight], None]) -> None:
        self._host, self._port = host, port
        self._most = most
        self._on_end = on_end
        self._idle: list[Connection] = []
        self._waiting: deque[Flight] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()
        self.most_open = 0

    async def warm(self, connections: int) -> None:
        """Open some before the first is due. Raises OSError."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: Connection(self), self._host, self._port)

    def dispatch(self, flight: Flight) -> None:
        """Send it now, or as soon as there is a connection."""
        if self._idle:
            self._idle.pop().send(flight)
            return
        self._waiting.append(flight)
        if len(self._open) + len(self._connecting) < self._most and len(self._connecting) < len(self._waiting):
            task = asyncio.get_running_loop().create_task(self._connect(), name="bench connect")
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def close(self) -> None:
        for connection in list(self._open):
            connection.abort()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    def give_up(self, before_s: float) -> None:
        """End what was due before this moment and has no answer yet."""
        for connection in list(self._open):
            flight = connection.flight
            if flight is not None and flight.due_s < before_s:
                connection.flight = None
                connection.abort()
                self._timed_out(flight)
        while self._waiting and self._waiting[0].due_s < before_s:
            self._timed_out(self._waiting.popleft())

    # --- from its connections -------------------------------------------------

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)
        self.most_open = max(self.most_open, len(self._open))
        self.free(connection)

    def free(self, connection: Connection) -> None:
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def ended(self, flight: Flight) -> None:
        self._on_end(flight)

    def _timed_out(self, flight: Flight) -> None:
        flight.failed("given up", now_s())
        self._on_end(flight)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), self._host, self._port)
        except OSError as error:
            if self._waiting:
                flight = self._waiting.popleft()
                flight.failed(f"cannot connect: {type(error).__name__}", now_s())
                self._on_end(flight)
