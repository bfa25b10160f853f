from __future__ import annotations

import asyncio

import pytest

from penstock.flow.looplag import LoopLag
from penstock.flow.pressure import Pressure
from tests.flow.callers import HandClock
from tests.simulation.loop import VirtualLoop, virtual


def test_pressure_follows_the_worst_quickly_up_and_slowly_down() -> None:
    clock, door, loop = HandClock(), [0.0], [0.0]
    pressure = Pressure(sources={"door": lambda: door[0], "loop": lambda: loop[0]}, clock=clock)
    door[0] = 2.0
    clock.seconds += 0.5
    assert pressure.level() > 1.8
    assert pressure.cause() == "door"
    door[0], loop[0] = 0.0, 0.1
    clock.seconds += 0.5
    assert pressure.level() > 1.4
    assert pressure.cause() == "loop"
    clock.seconds += 20.0
    assert pressure.level() == pytest.approx(0.1, abs=0.01)


def test_no_sources_no_pressure() -> None:
    pressure = Pressure(sources={}, clock=HandClock())
    assert (pressure.level(), pressure.cause()) == (0.0, "")


@virtual
async def test_loop_lag_is_how_late_a_timer_comes(loop: VirtualLoop) -> None:
    lag = LoopLag(every_s=0.1, too_late_s=0.1, clock=loop)
    lag.start()
    await asyncio.sleep(0.55)
    assert lag.latest_s == pytest.approx(0.0, abs=1e-6)
    loop.call_later(0.01, loop.advance, 0.3)  # somebody computes on the loop
    await asyncio.sleep(0.8)
    assert lag.quantile(0.99) == pytest.approx(0.26, rel=0.1)
    assert lag.pressure() < 1.0
    lag.stop()
