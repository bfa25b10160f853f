"""A streaming client by hand, so that the client costs little beside the server it measures.

Times the first token of an answer, keeps what came, and looks into it only when the answer has ended.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from typing import cast

import msgspec

now_s = time.perf_counter

WORDS = re.compile(rb'"content":("(?:[^"\\]|\\.)+")')
"""Text in events, also in those that carry several tokens; not the empty text of a first event."""
WHOLE_END = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Heard(msgspec.Struct, frozen=True):
    """One answer. `error` is empty where it is whole; `pieces` are the events with text in it."""

    text: str
    first_s: float
    total_s: float
    pieces: int
    longest_gap_s: float
    error: str = ""


class StreamClient(asyncio.Protocol):
    """One connection; one answer after another on it. `on_end` is called with each."""

    def __init__(self, *, on_end: Callable[[StreamClient, Heard], None], streamed: bool = True) -> None:
        self._on_end = on_end
        self._streamed = streamed
        self._transport: asyncio.Transport | None = None
        self._received: list[bytes] = []
        self._asked_s = self._first_s = self._latest_s = self._gap_s = 0.0
        self._size = -1
        self.waits = False
        self.received_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is not registered as one

    def ask(self, payload: bytes) -> None:
        """Send a request that is whole already."""
        assert self._transport is not None
        assert not self.waits
        self.waits = True
        self._received.clear()
        self.received_bytes, self._size = 0, -1
        self._first_s = self._gap_s = 0.0
        self._asked_s = self._latest_s = now_s()
        self._transport.write(payload)

    def cut(self, *, reset: bool = False) -> None:
        """Leave in the middle: politely, or as a process that was killed."""
        assert self._transport is not None
        self.waits = False
        if reset:
            self._transport.abort()
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        moment_s = now_s()
        if not self._first_s:
            if WORDS.search(data):
                self._first_s = moment_s - self._asked_s
        elif moment_s - self._latest_s > self._gap_s:
            self._gap_s = moment_s - self._latest_s
        self._latest_s = moment_s
        self._received.append(data)
        self.received_bytes += len(data)
        if self._streamed:
            if data.endswith(b"0\r\n\r\n"):
                self._ended("")
        elif self._is_whole():
            self._ended("")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.waits:
            self._ended("the connection was lost")

    def _is_whole(self) -> bool:
        if self._size < 0:
            head, found, _ = b"".join(self._received).partition(b"\r\n\r\n")
            if not found:
                return False
            said = WHOLE_END.search(head)
            self._size = len(head) + 4 + (int(said[1]) if said else 0)
        return self.received_bytes >= self._size

    def _ended(self, error: str) -> None:
        self.waits = False
        body = b"".join(self._received)
        if not error:
            error = _fault(body, streamed=self._streamed)
        words = WORDS.findall(body)
        heard = Heard(
            text="".join([json.loads(word) for word in words]),
            first_s=self._first_s,
            total_s=now_s() - self._asked_s,
            pieces=len(words),
            longest_gap_s=self._gap_s,
            error=error,
        )
        self._on_end(self, heard)


def _fault(body: bytes, *, streamed: bool) -> str:
    status = body[9:12]
    if status != b"200":
        return f"status {status.decode('latin-1')}"
    if streamed and b"data: [DONE]" not in body:
        return "a stream without an end"
    return ""


def chat_request(host: str, path: str, body: dict[str, object], **headers: str) -> bytes:
    """A POST as it goes over the wire."""
    raw = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(raw)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + raw


async def closed_loop(
    *, host: str, port: int, payload: bytes, streams: int, turns: int, spread_s: float, streamed: bool = True
) -> list[Heard]:
    """`streams` callers at once, each `turns` answers one after another, each beginning at a moment of its own."""
    loop = asyncio.get_running_loop()
    heard: list[Heard] = []
    left = streams
    done = loop.create_future()
    turns_left: dict[StreamClient, int] = {}

    def on_end(client: StreamClient, one: Heard) -> None:
        nonlocal left
        heard.append(one)
        turns_left[client] -= 1
        if turns_left[client] and one.error != "the connection was lost":
            loop.call_soon(client.ask, payload)
            return
        left -= 1
        client.cut()
        if not left:
            done.set_result(None)

    dice = random.Random(7)  # noqa: S311 - spreads arrivals
    for _ in range(streams):
        _, client = await loop.create_connection(lambda: StreamClient(on_end=on_end, streamed=streamed), host, port)
        turns_left[client] = turns
    for client in list(turns_left):
        loop.call_later(dice.uniform(0, spread_s), client.ask, payload)
    await done
    return heard
