"""Ends a request's work when its caller leaves or its time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol, Self

from starlette.types import Receive, Scope

from penstock.core.errors import DeadlineExceeded
from penstock.gateway.deadlines import Deadlines
from penstock.gateway.errors import ClientGone
from penstock.gateway.protocol import EXTENSION

UNWATCHED_S = 0.005
"""A request that is done by then is not watched: a task for each costs more than a quick search."""


class Connection(Protocol):
    """Our own server's connection, which says when its client goes."""

    on_departure: Callable[[], None] | None
    loop: asyncio.AbstractEventLoop

    @property
    def is_gone(self) -> bool: ...


class Presence:
    """A block that is cancelled, wherever it waits, when the client disconnects or the deadline passes.

    Raises ClientGone or DeadlineExceeded then. A cancellation from outside (the server stops) stays one.
    Servers cancel nothing by themselves: without this a departed caller's question is answered to the end.
    The request's body must have been read: under another server than ours the block owns `receive`, and a task waits
    there for the departure.
    """

    __slots__ = (
        "_connection",
        "_deadlines",
        "_loop",
        "_patience",
        "_receive",
        "_step",
        "_task",
        "_timeout_s",
        "_watcher",
        "ended",
    )

    def __init__(self, *, scope: Scope, receive: Receive, timeout_s: float, deadlines: Deadlines | None = None) -> None:
        """`deadlines` is one for all requests of a loop."""
        self._connection: Connection | None = scope.get("extensions", {}).get(EXTENSION)
        self._receive = receive
        self._deadlines = deadlines or Deadlines()
        self._timeout_s = timeout_s
        self._patience: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.ended: Literal["gone", "late"] | None = None
        """Why the block was cancelled; None while it was not, or when the server did it."""

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop() if self._connection is None else self._connection.loop
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._loop = loop
        if self._connection is None:
            self._patience = loop.call_later(UNWATCHED_S, self._begin_to_watch)
        elif self._connection.is_gone:
            raise ClientGone
        else:
            self._connection.on_departure = self._leave
        self._step = self._deadlines.add(self, self._timeout_s, loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.discard(self, self._step)
        if self._connection is not None:
            self._connection.on_departure = None
        if self._patience is not None:
            self._patience.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self.ended is None:
            return
        from_outside = self._task.uncancel() > 0
        if kind is asyncio.CancelledError and not from_outside:
            if self.ended == "gone":
                raise ClientGone from error
            raise DeadlineExceeded(stage="answer") from error

    def _begin_to_watch(self) -> None:
        self._watcher = self._loop.create_task(self._watch(), name="presence")

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end("gone")

    def late(self) -> None:
        """The deadline has passed."""
        self._end("late")

    def _leave(self) -> None:
        self._end("gone")

    def _end(self, why: Literal["gone", "late"]) -> None:
        if self.ended is None:
            self.ended = why
            self._task.cancel()
