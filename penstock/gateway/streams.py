"""Sends events as they come. Whatever ends a stream early is an event too: none ends in silence.

A stream that has nothing to say for a while sends a comment, so that proxies between do not take it for dead. One
timer looks after all of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from starlette.types import Send

from penstock.core.errors import DeadlineExceeded, Overloaded
from penstock.gateway.errors import event_of
from penstock.gateway.presence import Presence
from penstock.gateway.reply import EVENTS, Events, Last

LAST_WORD_S = 1.0
"""How long a reader that does not read may hold the last event of a stream that was cut."""
HEARTBEAT = b": still here\n\n"
MOST_AT_ONCE = 100
"""Heartbeats sent in one go; thousands would hold up the streams that have something to say."""
BREATH_S = 0.01
"""Between two such goes."""


class Streams:
    """All streams of one gateway. `heartbeat_s` is the silence after which one sends a comment."""

    def __init__(self, *, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s
        self._quiet: OrderedDict[_Stream, float] = OrderedDict()
        """Who waits for its next event, and since when; the longest first."""
        self._timer: asyncio.TimerHandle | None = None
        self._beats: set[asyncio.Task[None]] = set()

    async def send(self, events: Events, send: Send, *, presence: Presence, request_id: str) -> None:
        """From the first event to the last.

        An error before the first one is raised, to be answered with its own status, unless a heartbeat was sent.
        """
        stream = _Stream(send)
        failed = events.failed or event_of
        chunks = events.chunks
        last = b""
        try:
            try:
                while True:
                    self._quiet[stream] = asyncio.get_running_loop().time()
                    if self._timer is None:
                        self._arm()
                    try:
                        chunk = await anext(chunks)
                    except StopAsyncIteration:
                        break
                    finally:
                        self._quiet.pop(stream, None)
                    if isinstance(chunk, Last):
                        last = chunk
                        break
                    await stream.send(chunk)
            except asyncio.CancelledError:
                if presence.ended == "gone" or not stream.has_begun:
                    raise
                last = failed(_why_cut(presence), request_id)
            except Exception as error:
                if not stream.has_begun:
                    raise
                # Translated for the caller, and logged where it is not ours.
                last = failed(error, request_id)
            await stream.end(last)
        finally:
            await chunks.aclose()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        oldest_s = next(iter(self._quiet.values()))
        self._timer = loop.call_at(max(oldest_s + self._heartbeat_s, loop.time() + BREATH_S), self._beat)

    def _beat(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        due: list[_Stream] = []
        for stream, since_s in self._quiet.items():
            if since_s + self._heartbeat_s > now_s or len(due) >= MOST_AT_ONCE:
                break
            due.append(stream)
        for stream in due:
            self._quiet[stream] = now_s
            self._quiet.move_to_end(stream)
            # A task, because a write may have to wait; for a reader that does not read there is one at the most.
            if not stream.is_beating:
                task = loop.create_task(stream.beat(), name="heartbeat")
                self._beats.add(task)
                task.add_done_callback(self._beats.discard)
        if self._quiet:
            self._arm()


class _Stream:
    """One response."""

    __slots__ = ("_send", "has_begun", "is_beating")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False
        self.is_beating = False

    async def send(self, chunk: bytes) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, last: bytes) -> None:
        await self._begin()
        async with asyncio.timeout(LAST_WORD_S if not isinstance(last, Last) and last else None):
            await self._send({"type": "http.response.body", "body": last})

    async def beat(self) -> None:
        self.is_beating = True
        try:
            await self.send(HEARTBEAT)
        finally:
            self.is_beating = False

    async def _begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": list(EVENTS)})


def _why_cut(presence: Presence) -> DeadlineExceeded | Overloaded:
    if presence.ended == "late":
        return DeadlineExceeded(stage="answer")
    return Overloaded("The server is stopping. Ask again.")
