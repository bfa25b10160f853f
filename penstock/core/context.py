"""What goes along with a request through every stage: who, until when, how urgent."""

from __future__ import annotations

import time
import uuid
from typing import Protocol

import msgspec

from penstock.core.errors import DeadlineExceeded
from penstock.core.types import Principal
from penstock.core.types import Priority as Priority  # noqa: PLC0414 - where callers of contexts look for it


class Clock(Protocol):
    """Seconds that only go forward; tests move them by hand."""

    def now_s(self) -> float: ...


class MonotonicClock:
    """The machine's monotonic clock."""

    now_s = staticmethod(time.monotonic)


MONOTONIC = MonotonicClock()


class Retries:
    """How often the stages of one request may try again, all together. Shared by all copies of its context."""

    __slots__ = ("left",)

    def __init__(self, left: int = 2) -> None:
        self.left = left

    def take(self) -> bool:
        """One retry, if there is one."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """One request's passport. `deadline_s` is on `clock`; a hop to another machine sends `remaining_s()` instead."""

    principal: Principal
    deadline_s: float
    request_id: str = msgspec.field(default_factory=lambda: f"req_{uuid.uuid4().hex}")
    priority: Priority = "interactive"
    clock: Clock = MONOTONIC
    retries: Retries = msgspec.field(default_factory=Retries)

    def remaining_s(self) -> float:
        """Seconds left; zero when the time is up."""
        return max(0.0, self.deadline_s - self.clock.now_s())

    def check(self, stage: str) -> None:
        """Raise DeadlineExceeded, naming the stage that would have started, when the time is up."""
        if self.clock.now_s() >= self.deadline_s:
            raise DeadlineExceeded(stage=stage)

    def within(self, timeout_s: float) -> Context:
        """The same request with an earlier deadline, for one hop; never a later one."""
        return msgspec.structs.replace(self, deadline_s=min(self.deadline_s, self.clock.now_s() + timeout_s))


def start_context(
    *, principal: Principal, timeout_s: float, priority: Priority = "interactive", clock: Clock = MONOTONIC
) -> Context:
    """A context whose deadline is `timeout_s` from now."""
    return Context(principal=principal, deadline_s=clock.now_s() + timeout_s, priority=priority, clock=clock)
