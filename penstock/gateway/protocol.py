"""uvicorn's HTTP protocol, with the deadlines that it lacks, and without the work that it need not do.

A request's head must arrive in time and stay small; who is sent to must read; a peer that has vanished is found out.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from penstock.gateway.exchange import Exchange

MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 2.0
"""How long a connection may go on sending a body that was refused already."""
UNSENT_BYTES = 128 * 1024
"""More than this the kernel does not take for somebody who does not read; it would take megabytes."""
CLOCK_STEP_S = 0.001
"""Timers may ring so much early."""
ASGI = {"version": "3.0", "spec_version": "2.3"}
EXTENSION = "penstock.connection"
"""Where the scope of a request has the connection that it came over."""


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
        self._resting_since_s = math.inf
        self._answering: Exchange | None = None
        """Not always the last to arrive: those that were sent together wait for their turn."""
        self.on_departure: Callable[[], None] | None = None
        """Called once when the client has gone, for the request that is being answered."""

    @property
    def is_gone(self) -> bool:
        """Whether the client has left already."""
        return self.transport.is_closing()

    def whole_body(self) -> bytes | None:
        """The body of the request being answered, if all of it is here; it is taken then. None: ask `receive`."""
        assert self._answering is not None, "whoever asks is answering"
        return self._answering.whole_body()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        assert isinstance(cycle, Exchange), "the only kind that we make"
        self._answering = cycle
        cycle.task = task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        set_up_socket(transport, silent_peer_s=self._silent_peer_s)
        self._arm(self._header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        self.resume_writing()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True  # uvicorn knows of the last to arrive only
            self._answering.message_event.set()
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
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._in_head = self._in_message = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """uvicorn's, without what is switched off: web sockets, prefixes of paths, a limit of connections."""
        self._in_head = False
        self._disarm()
        parser = self.parser
        version = parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self.headers,
            "extensions": {EXTENSION: self},
        }
        self.scope = scope  # type: ignore[assignment] # with extensions of ours
        before = self.cycle
        exchange = Exchange(
            self, message_event=asyncio.Event(), keep_alive=version != "1.0" and parser.should_keep_alive()
        )
        self.cycle = exchange
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def on_body(self, body: bytes) -> None:
        exchange = self.cycle
        if exchange.response_complete:
            return
        exchange.body += body
        if len(exchange.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        exchange.message_event.set()

    def on_message_complete(self) -> None:
        self._in_message = False
        exchange = self.cycle
        if not exchange.response_complete:
            exchange.more_body = False
            exchange.message_event.set()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._rest()
        if self._in_message:
            self._arm(LINGER_S)

    def _rest(self) -> None:
        """Nothing is being answered. One timer sees to a connection's rests; each would cost as much as a stage."""
        self._resting_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._look_at_rest)

    def _unset_keepalive_if_required(self) -> None:
        self._resting_since_s = math.inf

    def _look_at_rest(self) -> None:
        left_s = self._resting_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s <= CLOCK_STEP_S:
            self.timeout_keep_alive_task = None
            self.timeout_keep_alive_handler()
            return
        self.timeout_keep_alive_task = self.loop.call_later(min(left_s, self.timeout_keep_alive), self._look_at_rest)

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
