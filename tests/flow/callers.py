"""Callers for the tests of flow."""

from __future__ import annotations

from penstock.core.context import Clock, Context, Priority
from penstock.core.types import Principal


def caller(
    clock: Clock, *, timeout_s: float = 10.0, tenant: str = "acme", priority: Priority = "interactive"
) -> Context:
    return Context(
        principal=Principal(tenant=tenant),
        deadline_s=clock.now_s() + timeout_s,
        request_id="req_test",
        priority=priority,
        clock=clock,
    )


class HandClock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now_s(self) -> float:
        return self.seconds
