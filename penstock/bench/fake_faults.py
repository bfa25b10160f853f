"""The ways in which an engine breaks, one answer each: what the fake server does instead of answering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
WHOLE = b'{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"%b"}}]}'
UMBRELLA = "caf\u00e9 \u2602 na\u00efve".encode()
LONG_LINE_BYTES = 100 * 1024 * 1024
PIECE_BYTES = 64 * 1024


class Line(Protocol):
    """The connection, as far as a fault needs it."""

    def send(self, data: bytes) -> None: ...
    def send_head(self, status: int, content_type: str, *, size: int | None = None, **more: str) -> None: ...
    def send_chunk(self, data: bytes, *, last: bool = False) -> None: ...
    def send_json(self, status: int, value: object, **more: str) -> None: ...
    def later(self, wait_s: float, act: object) -> None: ...
    def abort(self) -> None: ...
    def end_with_fault(self) -> None: ...


class Conduct(Protocol):
    """The behaviour, as far as a fault needs it."""

    retry_after: str


class FaultyAnswer:
    """One broken answer."""

    def __init__(self, *, fault: str, connection: Line, streamed: bool, behaviour: Conduct) -> None:
        self._act: Callable[[], None] = getattr(self, f"_{fault}")
        self._line = connection
        self._streamed = streamed
        self._behaviour = behaviour
        self._rest = b""
        self._left = 0

    def begin(self) -> None:
        self._act()

    def _status_500(self) -> None:
        self._line.send_json(500, {"error": {"message": "it broke", "type": "server_error"}})
        self._line.end_with_fault()

    def _status_429(self) -> None:
        body = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
        self._line.send_json(429, body, Retry_After=self._behaviour.retry_after)
        self._line.end_with_fault()

    def _refused(self) -> None:
        self._line.abort()

    def _reset(self) -> None:
        self._begin_well()
        self._line.later(0.01, self._line.abort)

    def _hang_headers(self) -> None:
        """Say nothing at all."""

    def _hang_tokens(self) -> None:
        self._begin_well()

    def _slow_bytes(self) -> None:
        self._head()
        self._rest = (EVENT if self._streamed else WHOLE) % (b"x" * 1000)
        self._next_byte()

    def _next_byte(self) -> None:
        piece, self._rest = self._rest[:1], self._rest[1:]
        self._line.send_chunk(piece)
        self._line.later(1.0, self._next_byte)

    def _truncated(self) -> None:
        """A part of an answer and then a clean end of the body, as a proxy makes it of a dead engine."""
        self._begin_well()
        self._line.send_chunk(b"data: [DONE]\n\n" if self._streamed else b" ", last=True)
        self._line.end_with_fault()

    def _bad_json(self) -> None:
        self._head()
        self._line.send_chunk(b'data: {"choices":[{"delta":{"content":\n\n' if self._streamed else b'{"choices":')
        self._line.send_chunk(b"data: [DONE]\n\n" if self._streamed else b"[", last=True)
        self._line.end_with_fault()

    def _split_utf8(self) -> None:
        """Not a fault of the server's: the answer is whole, and cut between bytes of its characters."""
        end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        self._head()
        self._rest = EVENT % UMBRELLA + end if self._streamed else WHOLE % UMBRELLA
        self._next_bytes()

    def _next_bytes(self) -> None:
        piece, self._rest = self._rest[:1], self._rest[1:]
        self._line.send_chunk(piece, last=not self._rest)
        if self._rest:
            self._line.later(0.0, self._next_bytes)
        else:
            self._line.end_with_fault()

    def _long_line(self) -> None:
        self._head()
        self._line.send_chunk(b"data: " if self._streamed else b'{"choices":[{"message":{"content":"')
        self._left = LONG_LINE_BYTES
        self._next_piece()

    def _next_piece(self) -> None:
        # A hundred megabytes are offered piece by piece; the tests see how few of them are taken.
        self._left -= PIECE_BYTES
        self._line.send_chunk(b"x" * PIECE_BYTES, last=self._left <= 0)
        if self._left > 0:
            self._line.later(0.0005, self._next_piece)

    def _html_200(self) -> None:
        page = b"<!DOCTYPE html><html><body>Welcome to the proxy</body></html>"
        self._line.send_head(200, "text/html; charset=utf-8", size=len(page))
        self._line.send(page)
        self._line.end_with_fault()

    def _error_after_200(self) -> None:
        if self._streamed:
            self._begin_well()
            self._line.send_chunk(b'data: {"error":{"message":"out of memory","code":500}}\n\n')
            self._line.send_chunk(b"data: [DONE]\n\n", last=True)
        else:
            self._head()
            self._line.send_chunk(b'{"error":{"message":"out of memory","code":500}}', last=True)
        self._line.end_with_fault()

    def _head(self) -> None:
        self._line.send_head(200, "text/event-stream" if self._streamed else "application/json")

    def _begin_well(self) -> None:
        self._head()
        if self._streamed:
            self._line.send_chunk(EVENT % b"Half an" + EVENT % b" answer")
        else:
            self._line.send_chunk(b'{"choices":[{"index":0,"message":{"content":"Half an')
