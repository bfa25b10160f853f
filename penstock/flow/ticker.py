"""One timer for all streams: each waits for its own next tick, so that what comes meanwhile can leave together.

    ticker = Ticker(shortest_s=0.01)
    with ticker.stream():
        await ticker.tick()       # a tick after now

A flush costs about as much for one token as for five. So the tick grows with the number of streams, such that flushing
all of them takes a fixed share of the time; few streams hardly wait at all. Ticks of different streams fall on
different moments, in steps of `STEP_S`: flushing a thousand at once would hold up everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

STEP_S = 0.002
STREAM_S = 0.0001
"""Added to the tick by each stream."""
LONGEST_S = 0.1
"""Readers notice steps that are longer."""


class Ticker:
    """See the head of this file. `shortest_s` zero: never wait. Belongs to one event loop."""

    def __init__(self, *, shortest_s: float) -> None:
        self._shortest_s = shortest_s
        self._streams = 0
        self._due: dict[int, list[asyncio.Future[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_step = 0

    @property
    def period_s(self) -> float:
        """The tick as it is now."""
        if not self._shortest_s:
            return 0.0
        return min(max(self._shortest_s, STREAM_S * self._streams), max(self._shortest_s, LONGEST_S))

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A stream more, for the length of the tick."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def tick(self) -> None:
        """Wait for the caller's next tick."""
        period_s = self.period_s
        if not period_s:
            return
        loop = asyncio.get_running_loop()
        step = int((loop.time() + period_s) / STEP_S) + 1
        waiting = loop.create_future()
        bucket = self._due.get(step)
        if bucket is None:
            bucket = self._due[step] = []
            if self._timer is None or step < self._timer_step:
                self._arm(loop, step)
        bucket.append(waiting)
        await waiting

    def _arm(self, loop: asyncio.AbstractEventLoop, step: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_step = step
        self._timer = loop.call_at(step * STEP_S, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        # One step, even when we are late and several are due: what else is waiting comes in between.
        for waiting in self._due.pop(self._timer_step, ()):
            if not waiting.done():
                waiting.set_result(None)
        if self._due:
            self._arm(loop, min(self._due))
