"""One timer for the deadlines of all requests: hardly any is reached, and a timer for each costs as much as a stage.

Deadlines fall on steps of `STEP_S`, so one may ring so much late. The timer is set for the earliest.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

STEP_S = 0.005


class Late(Protocol):
    """Who has a deadline."""

    def late(self) -> None:
        """It has passed."""
        ...


class Deadlines:
    """Belongs to one event loop."""

    __slots__ = ("_due", "_timer", "_timer_step")

    def __init__(self) -> None:
        self._due: dict[int, set[Late]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_step = 0

    def add(self, who: Late, timeout_s: float, loop: asyncio.AbstractEventLoop) -> int:
        """Call `who.late` after that time. Returns the step, for `discard`."""
        step = int((loop.time() + timeout_s) / STEP_S) + 1
        due = self._due.get(step)
        if due is None:
            self._due[step] = {who}
            if self._timer is None or step < self._timer_step:
                self._arm(step, loop)
        else:
            due.add(who)
        return step

    def discard(self, who: Late, step: int) -> None:
        """The work is done; nothing happens when it was late."""
        due = self._due.get(step)
        if due is not None:
            due.discard(who)
            if not due:
                del self._due[step]  # the timer is left: it will look what is next

    def _arm(self, step: int, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_step = step
        self._timer = loop.call_at(step * STEP_S, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = int(loop.time() / STEP_S)
        for step in [step for step in self._due if step <= max(now, self._timer_step)]:
            for who in self._due.pop(step):
                who.late()
        if self._due:
            self._arm(min(self._due), loop)
