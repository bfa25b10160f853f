"""What a queue carries, and what its holders say of it."""

from __future__ import annotations

from typing import Literal

from penstock.core.types import Value


class QueueMessage(Value, frozen=True):
    """Something to do, as a queue carries it. The same `id` sent twice is mostly carried once, never a promise."""

    id: str
    body: bytes


class Lease(Value, frozen=True):
    """A message that is this holder's until its time is up. `token` is the queue's own name for this delivery."""

    token: str
    message: QueueMessage
    attempt: int = 1
    """How many times it has been given out, this time included."""


class Verdict(Value, frozen=True):
    """What becomes of a leased message: done with, again after `after_s`, or buried with its `reason`."""

    lease: Lease
    kind: Literal["ack", "retry", "bury"] = "ack"
    after_s: float = 0.0
    reason: str = ""


class DeadLetter(Value, frozen=True):
    """A message that was buried."""

    id: str
    body: bytes
    reason: str
    attempts: int
    buried_s: float
    """Unix time."""
