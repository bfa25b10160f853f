"""One request and its answer on uvicorn's connection, at a fraction of the price of uvicorn's own.

An answer's head waits for what follows it, because each write is a system call, and is checked as a whole instead of
line by line. A body that arrived together with its head is had without waiting.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from penstock.gateway.protocol import PatientProtocol

CONTROLS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
"""None of them may be in a head, except for the ends of its lines: whoever smuggled one in could write headers."""
BODILESS = (204, 304)


class Exchange(RequestResponseCycle):
    """See the head of this file. `send` and `receive` are ASGI's."""

    def __init__(self, protocol: PatientProtocol, *, message_event: Any, keep_alive: bool) -> None:
        super().__init__(
            protocol.scope,
            protocol.transport,
            protocol.flow,
            protocol.logger,
            protocol.access_logger,
            protocol.access_log,
            protocol.server_state.default_headers,
            message_event,
            protocol.expect_100_continue,
            keep_alive,
            protocol.on_response_complete,
        )
        self._head = b""
        self._tasks = protocol.tasks
        self.task: asyncio.Task[None] | None = None
        """What answers; the server's while it runs."""

    async def run_asgi(self, app: Any) -> None:
        """Leaves the server's tasks by itself when it ends: a callback for that would cost a turn of the loop."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException:  # whatever it is, the server lives on
            self.logger.exception("A request broke its application.")
            await self._break_off()
        else:
            if not self.response_complete and not self.disconnected:
                self.logger.error("The application ended without a whole answer.")
                await self._break_off()
        finally:
            self.on_response = _nothing
            if self.task is not None:
                self._tasks.discard(self.task)
                self.task = None

    async def _break_off(self) -> None:
        """A broken answer must not look whole."""
        if self.response_started:
            self.transport.close()
        else:
            await self.send_500_response()

    def whole_body(self) -> bytes | None:
        """The request's body, if all of it is here; it is taken then. None: ask `receive`."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        self.message_event.clear()
        return body

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            assert message["type"] == "http.response.start", "an answer begins with its head"
            self.response_started = True
            self.waiting_for_100_continue = False
            self._head = self._head_of(message["status"], message["headers"])
            return
        assert message["type"] == "http.response.body", "after the head comes the body"
        assert not self.response_complete, "an answer ends once"
        is_last = not message.get("more_body", False)
        head, self._head = self._head, b""
        data = head + self._written(message.get("body", b""), is_last=is_last)
        if data:
            self.transport.write(data)
        if is_last:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _written(self, body: bytes, *, is_last: bool) -> bytes:
        if self.scope["method"] == "HEAD":
            return b""
        if self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk + b"0\r\n\r\n" if is_last else chunk
        self.expected_content_length -= len(body)
        if self.expected_content_length < 0 or (is_last and self.expected_content_length):
            raise RuntimeError("The body is not as long as its head says.")
        return body

    def _head_of(self, status: int, headers: Any) -> bytes:
        headers = [*self.default_headers, *headers]
        named = dict(headers)
        length = named.get(b"content-length")
        if length is not None:
            self.expected_content_length = int(length)
            self.chunked_encoding = False
        elif self.scope["method"] != "HEAD" and status not in BODILESS:
            self.chunked_encoding = True
            headers.append((b"transfer-encoding", b"chunked"))
        if b"close" in named.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        head = STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % header for header in headers]) + b"\r\n"
        ends = len(headers) + 2
        if len(head) - len(head.translate(None, CONTROLS)) != 2 * ends:
            self.response_started = False
            raise RuntimeError("A header has a control character in it.")
        return head


def _nothing() -> None:
    """An exchange that is over tells nobody."""
