"""A small HTTP server for the rig's tests: it answers at once, but stands still when told to, and can refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver-timing: embed;dur=1.5, search;dur=0.25\r\n%b\r\n%b"
PAGE = b'{"data": []}'


class Stalling:
    """One request after another, as a server with one thread does it. `busy_s` is the time that each takes."""

    def __init__(self, *, busy_s: float = 0.001) -> None:
        self.busy_s = busy_s
        self.answers: list[bytes] = [OK % (b"content-length: %d\r\n" % len(PAGE), PAGE)]
        self.stalls: dict[int, float] = {}
        """By the number of the request: how long the whole server stands still before it answers that one."""
        self.requests = 0
        self._turn = asyncio.Lock()
        self._serving: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """End what is still being answered."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET"):  # the probe of the rig
                    writer.write(OK % (b"content-length: 2\r\n", b"{}"))
                    continue
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(await self._answer())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller has left
        finally:
            writer.close()

    async def _answer(self) -> bytes:
        async with self._turn:
            number = self.requests
            self.requests += 1
            await asyncio.sleep(self.stalls.get(number, self.busy_s))
            return self.answers[number % len(self.answers)]


@asynccontextmanager
async def listening(server: Stalling) -> AsyncIterator[int]:
    """Serves in this loop; gives the port."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]
        await server.stop()
