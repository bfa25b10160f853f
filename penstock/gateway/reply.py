"""What a route gives back: a whole answer, or events one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from starlette.types import Send

Headers = tuple[tuple[bytes, bytes], ...]

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
EVENTS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    NO_STORE,
    (b"x-accel-buffering", b"no"),  # or nginx would hold the first token back
)


class Reply:
    """An answer that is whole already."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, *, body: bytes, status: int = 200, headers: Headers = ()) -> None:
        self.body = body
        self.status = status
        self.headers = headers

    async def send(self, send: Send) -> None:
        """As JSON, unless its headers say otherwise."""
        headers = [(b"content-length", b"%d" % len(self.body)), *self.headers]
        for name, _ in self.headers:
            if name == b"content-type":
                break
        else:
            headers += (JSON, NO_STORE)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Last(bytes):
    """The events with which a stream ends. Saying so saves a write; a stream may also just end."""

    __slots__ = ()


class Events:
    """Server-sent events, any number of whole ones in each chunk: put together what is there at the same time.

    Nothing is sent before the first chunk is there, or a heartbeat is due: an early error has its own status.
    Heartbeats, errors in the middle and slow readers are seen to in streams.py.

    `failed` makes the last event of a stream that broke off, out of the error and the request's id; None: as usual.
    """

    __slots__ = ("chunks", "failed")

    def __init__(
        self, chunks: AsyncGenerator[bytes], *, failed: Callable[[Exception, str], bytes] | None = None
    ) -> None:
        self.chunks = chunks
        self.failed = failed
