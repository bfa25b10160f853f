"""Connections to one server, kept for the next request."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from urllib.parse import unquote, urlsplit

import aiohappyeyeballs

from penstock.core.errors import BadSetting
from penstock.generate.http1 import Broken, Connection

IDLE_S = 30.0
NEXT_ADDRESS_S = 0.25
"""A name's second address is tried when the first has not answered by then."""


class Connections:
    """Makes a request on a connection that was used before, or on a new one. No bound: admission has one.

    `url` is that of the server with the path before each request's own. Between `start` and `stop`.
    """

    def __init__(self, *, url: str, connect_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadSetting(f"'{url}' is not the address of an engine, as in http://127.0.0.1:8001/v1.")
        self._hostname = parts.hostname
        self._is_secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_secure else 80)
        self._path = parts.path.rstrip("/")
        user, _, self._netloc = parts.netloc.rpartition("@")
        self._login = {"Authorization": f"Basic {b64encode(unquote(user).encode()).decode()}"} if user else {}
        self._connect_s = connect_s
        self._tls: ssl.SSLContext | None = None
        self._idle: list[tuple[float, Connection]] = []
        self._busy: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.is_open = False

    def start(self) -> None:
        """Connects to nothing yet."""
        self._tls = ssl.create_default_context() if self._is_secure else None
        self.is_open = True

    def stop(self) -> None:
        """Close all; answers under way end in Broken."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, connection in self._idle:
            connection.close()
        self._idle.clear()
        for connection in list(self._busy):
            connection.fail(Broken("the gateway is stopping"))

    async def take(self, *, fresh: bool = False) -> Connection:
        """One to send on, to be given back. Raises OSError, TimeoutError when there is none to be had."""
        while self._idle and not fresh:
            _, connection = self._idle.pop()
            if connection.is_reusable:
                self._busy.add(connection)
                return connection
            connection.close()
        async with asyncio.timeout(self._connect_s):
            connection = await self._connect()
        self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next request where its answer was read to the end; else close it, which stops the engine."""
        self._busy.discard(connection)
        if not (self.is_open and connection.is_reusable):
            connection.close()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time() + IDLE_S, connection))
        if self._timer is None:
            self._timer = loop.call_later(IDLE_S, self._sweep)

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        """A request as it goes over the wire."""
        lines = [f"{method} {self._path}{path} HTTP/1.1", f"Host: {self._netloc}", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in {**self._login, **headers}.items()]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._hostname, self._port, type=1, proto=6)
        raw = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_S)
        try:
            _, connection = await loop.create_connection(
                Connection, sock=raw, ssl=self._tls, server_hostname=self._hostname if self._tls else None
            )
        except BaseException:
            raw.close()
            raise
        return connection

    def _sweep(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self._idle and self._idle[0][0] <= now_s:
            self._idle.pop(0)[1].close()
        self._timer = None
        if self._idle:
            self._timer = asyncio.get_running_loop().call_at(self._idle[0][0], self._sweep)
