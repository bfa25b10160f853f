"""A caller over one kept-alive connection, and ways to call: one at a time, or many in a closed loop.

Written on bare streams because the caller shares the cores with the server that it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from benchmarks.main_job.metrics import percentile

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


REFUSED = (429, 503)
PAUSE_S = 0.05
"""How long somebody who was turned away waits until he asks again; politeness would be the header's whole seconds."""


class BadReply(Exception):
    """The server answered with something else than 200."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class Request(msgspec.Struct, frozen=True):
    """A POST of JSON."""

    path: str
    body: bytes


class Caller:
    """One connection. `call` one after the other, not at once."""

    def __init__(self, *, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=16 * 1024 * 1024)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._writer is not None
        self._writer.close()
        with contextlib.suppress(OSError):  # the server may have hung up first
            await self._writer.wait_closed()

    async def call(self, request: Request) -> bytes:
        """The answer's body. Raises BadReply."""
        return await self._exchange(
            b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (request.path.encode(), self._host.encode(), len(request.body), request.body)
        )

    async def get(self, path: str) -> bytes:
        """The answer's body. Raises BadReply."""
        return await self._exchange(b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (path.encode(), self._host.encode()))

    async def _exchange(self, message: bytes) -> bytes:
        assert self._writer is not None
        assert self._reader is not None
        self._writer.write(message)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        sizes = [field for field in fields if field.lower().startswith(b"content-length:")]
        body = await self._reader.readexactly(int(sizes[0].split(b":")[1])) if sizes else b""
        if status.split()[1] != b"200":
            raise BadReply(f"{status.decode()}: {body[:500].decode(errors='replace')}", status=int(status.split()[1]))
        return body


class Spell(msgspec.Struct, frozen=True):
    """Calls over some time. Those that the server turned away as too many have no latency."""

    seconds: float
    latencies_ms: list[float]
    refused: int = 0

    @property
    def per_s(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def at(self, percent: float) -> float:
        """Latency in milliseconds."""
        return percentile(self.latencies_ms, percent)


async def ask_all(
    port: int, requests: Sequence[Request], *, callers: int, report: Callable[[], None] | None = None
) -> list[Any]:
    """Every answer, decoded, in the order of the requests."""
    answers: list[Any] = [None] * len(requests)
    places = iter(range(len(requests)))

    async def caller() -> None:
        async with Caller(port=port) as connection:
            for place in places:
                answers[place] = decode(await connection.call(requests[place]))
                if report is not None:
                    report()

    async with asyncio.TaskGroup() as tasks:
        for number in range(callers):
            tasks.create_task(caller(), name=f"caller-{number}")
    return answers


async def alone(port: int, requests: Sequence[Request]) -> Spell:
    """One question after the other, nobody else asking."""
    latencies_ms: list[float] = []
    began_s = time.perf_counter()
    async with Caller(port=port) as connection:
        for request in requests:
            asked_s = time.perf_counter()
            await connection.call(request)
            latencies_ms.append((time.perf_counter() - asked_s) * 1000)
    return Spell(time.perf_counter() - began_s, latencies_ms)


async def together(port: int, requests: Sequence[Request], *, callers: int, seconds: float) -> Spell:
    """A closed loop: each caller asks again as soon as it is answered, until the time is up."""
    latencies_ms: list[float] = []
    endless = itertools.cycle(requests)
    refused = 0
    began_s = time.perf_counter()

    async def caller() -> None:
        nonlocal refused
        async with Caller(port=port) as connection:
            while (asked_s := time.perf_counter()) - began_s < seconds:
                try:
                    await connection.call(next(endless))
                except BadReply as reply:
                    if reply.status not in REFUSED:
                        raise
                    refused += 1
                    await asyncio.sleep(PAUSE_S)
                else:
                    latencies_ms.append((time.perf_counter() - asked_s) * 1000)

    async with asyncio.TaskGroup() as tasks:
        for number in range(callers):
            tasks.create_task(caller(), name=f"caller-{number}")
    return Spell(time.perf_counter() - began_s, latencies_ms, refused)
