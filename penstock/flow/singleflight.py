"""Identical work that is wanted at the same time is done once.

    flights: SingleFlight[Key, Vectors] = SingleFlight()
    vectors = await flights.do(Key(model=..., text=...), lambda: embedder.embed([text], ctx), ctx)

The work belongs to the flight, not to who asked first: it goes on while anyone waits, and is cancelled when the last
one leaves. An error goes to all who wait and is forgotten with the flight. Only when the work ended by its starter's
deadline does the next caller, who has time left, start it anew with its own. Keys must carry all that the result
depends on, the tenant included: use a frozen value, not a joined string.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Flight(Generic[V]):
    __slots__ = ("passengers", "task")

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.passengers = 0


class SingleFlight(Generic[K, V]):
    """See the head of this file."""

    def __init__(self, *, name: str = "flight") -> None:
        self._name = name
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        """Flights in the air."""
        return len(self._flights)

    async def do(self, key: K, work: Callable[[], Awaitable[V]], ctx: Context) -> V:
        """The result of `work`, or of an identical one already under way. The result is shared: do not change it."""
        while True:
            ctx.check(self._name)
            flight = self._flights.get(key)
            is_ours = flight is None
            if flight is None:
                flight = self._start(key, work)
            try:
                return await self._ride(key, flight, ctx)
            except DeadlineExceeded:
                if is_ours:
                    raise

    def _start(self, key: K, work: Callable[[], Awaitable[V]]) -> _Flight[V]:
        async def fly() -> V:
            return await work()

        flight = _Flight(asyncio.get_running_loop().create_task(fly(), name=f"{self._name}:flight"))
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _task: self._land(key, flight))
        return flight

    async def _ride(self, key: K, flight: _Flight[V], ctx: Context) -> V:
        flight.passengers += 1
        try:
            # wait, not await: cancelling one passenger must not cancel the flight.
            await asyncio.wait([flight.task], timeout=ctx.remaining_s())
            if not flight.task.done():
                raise DeadlineExceeded(stage=self._name)
        finally:
            flight.passengers -= 1
            if not flight.passengers and not flight.task.done():
                flight.task.cancel()
                self._land(key, flight)
        if flight.task.cancelled():
            # From inside: the work was cancelled by something other than its passengers.
            raise RuntimeError(f"The shared work '{self._name}' was cancelled")
        return flight.task.result()

    def _land(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # Seen: the passengers have it, if there are any left.
