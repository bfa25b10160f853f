from __future__ import annotations

import pytest

from penstock.core.context import start_context
from penstock.core.errors import DeadlineExceeded
from penstock.core.types import Principal


class HandClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def now_s(self) -> float:
        return self.time_s


def test_time_runs_out_once_for_the_whole_request() -> None:
    clock = HandClock()
    ctx = start_context(principal=Principal(), timeout_s=2.0, clock=clock)

    clock.time_s += 1.5
    ctx.check("embed")
    assert ctx.remaining_s() == pytest.approx(0.5)
    clock.time_s += 0.5

    with pytest.raises(DeadlineExceeded, match="search"):
        ctx.check("search")
    assert ctx.remaining_s() == 0.0


def test_a_hop_gets_less_time_and_never_more() -> None:
    clock = HandClock()
    ctx = start_context(principal=Principal(), timeout_s=2.0, clock=clock)

    assert ctx.within(0.5).remaining_s() == pytest.approx(0.5)
    assert ctx.within(50.0).remaining_s() == pytest.approx(2.0)
    assert ctx.within(0.5).request_id == ctx.request_id
