"""uvicorn's HTTP protocol, with the deadlines that it lacks: a request's head must arrive in time and stay small."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 2.0
"""How long a connection may go on sending a body that was refused already."""


def patient_protocol(*, header_timeout_s: float) -> type[HttpToolsProtocol]:
    """The protocol class with this patience; uvicorn makes one for each connection."""

    class Patient(PatientProtocol):
        _header_timeout_s = header_timeout_s

    return Patient


class PatientProtocol(HttpToolsProtocol):
    """Cuts whoever dribbles a head, sends an endless one, or does not stop sending a refused body.

    A request that arrives in one piece, as almost all do, costs no timer.
    """

    _header_timeout_s = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_message = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._arm(self._header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

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
        super().on_response_complete()
        if self._in_message:
            self._arm(LINGER_S)

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
