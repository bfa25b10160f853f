"""uvicorn's HTTP protocol, with the deadlines that it lacks, and without the writes that it need not make.

A request's head must arrive in time and stay small; who is sent to must read; a peer that has vanished is found out.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 2.0
"""How long a connection may go on sending a body that was refused already."""
UNSENT_BYTES = 128 * 1024
"""More than this the kernel does not take for somebody who does not read; it would take megabytes."""
EXTENSION = "penstock.connection"
"""Where the scope of a request has the connection that it came over."""


class OneWrite:
    """A transport that sends an answer's head together with what follows it: each write is a system call."""

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that nothing follows."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


def patient_protocol(
    *, header_timeout_s: float, reader_timeout_s: float, silent_peer_s: int
) -> type[HttpToolsProtocol]:
    """The protocol class with this patience; uvicorn makes one for each connection."""

    class Patient(PatientProtocol):
        _header_timeout_s = header_timeout_s
        _reader_timeout_s = reader_timeout_s
        _silent_peer_s = silent_peer_s

    return Patient


class PatientProtocol(HttpToolsProtocol):
    """Cuts whoever dribbles a head, sends an endless one, does not stop sending a refused body, or does not read.

    A request that arrives in one piece, as almost all do, costs no timer. What is written to somebody who does not
    read stays in memory up to the transport's mark of 64 KiB and one message more; then the writer waits.
    """

    _header_timeout_s = 10.0
    _reader_timeout_s = 30.0
    _silent_peer_s = 30

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_message = False
        self._head_bytes = 0
        self.on_departure: Callable[[], None] | None = None
        """Called once when the client has gone, for the request that is being answered."""

    @property
    def is_gone(self) -> bool:
        """Whether the client has left already."""
        return self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(OneWrite(transport))  # type: ignore[arg-type] # all of a transport that uvicorn uses
        set_up_socket(transport, silent_peer_s=self._silent_peer_s)
        self._arm(self._header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.resume_writing()
        super().connection_lost(exc)
        if self.on_departure is not None:
            leave, self.on_departure = self.on_departure, None
            leave()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._cut()
            elif self._timer is None:
                self._arm(self._header_timeout_s)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item] # one of ours
        self._in_head = self._in_message = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self.transport.flush()  # type: ignore[attr-defined] # OneWrite
        super().on_response_complete()
        if self._in_message:
            self._arm(LINGER_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader_timer is None:
            self._reader_timer = self.loop.call_later(self._reader_timeout_s, self._give_up_reader)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _give_up_reader(self) -> None:
        self._reader_timer = None
        self.transport.abort()

    def _arm(self, timeout_s: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(timeout_s, self._cut)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


def set_up_socket(transport: asyncio.BaseTransport, *, silent_peer_s: int) -> None:
    """Have the kernel end a connection whose peer has vanished without a word, and take little for who does not read.

    With something to send, the peer has `silent_peer_s` to acknowledge it; with nothing, it is asked within that time.
    """
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    part_s = max(1, silent_peer_s // 3)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, part_s),
        (socket.TCP_KEEPINTVL, max(1, part_s // 2)),
        (socket.TCP_KEEPCNT, 3),
        (socket.TCP_USER_TIMEOUT, silent_peer_s * 1000),
        (socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES),
    ):
        raw.setsockopt(socket.IPPROTO_TCP, option, value)
