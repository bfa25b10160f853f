"""Those who began together do not end together for ever."""

from __future__ import annotations

import asyncio

from penstock.core.errors import Overloaded
from penstock.flow.admission import Admission
from penstock.flow.limit import FixedLimit
from penstock.flow.pace import Pace
from tests.flow.callers import caller
from tests.simulation.loop import VirtualLoop, virtual

PLACES, SERVICE_S = 32, 0.25


@virtual
async def test_what_began_in_one_moment_spreads_over_the_service_time(loop: VirtualLoop) -> None:
    door = Admission(name="door", limit=FixedLimit(PLACES), clock=loop)
    began_s: list[float] = []

    async def ask() -> None:
        try:
            async with door.admit(caller(loop, timeout_s=30.0)):
                began_s.append(loop.time())
                await asyncio.sleep(SERVICE_S)
        except Overloaded:
            pass

    tasks = [asyncio.create_task(ask()) for _ in range(PLACES)]
    for _ in range(4000):  # ten times as many as there are places for
        await asyncio.sleep(SERVICE_S / PLACES / 10)
        tasks.append(asyncio.create_task(ask()))
    await asyncio.gather(*tasks)

    assert began_s[PLACES - 1] == began_s[0]  # nobody is made to wait before it is full
    gaps = [later - earlier for earlier, later in zip(began_s[-200:], began_s[-199:], strict=False)]
    assert max(gaps) < SERVICE_S * 0.4
    assert len(began_s) > 0.95 * PLACES * (4000 / PLACES / 10)  # and no place stays empty for it


@virtual
async def test_who_waits_for_his_moment_gets_it(loop: VirtualLoop) -> None:
    pace, served = Pace(), []
    pace.was_full(loop.time(), 1.0)
    assert [pace.lets_in(loop.time(), 0.125) for _ in range(2)] == [True, False]
    pace.call_later(loop.time(), lambda: served.append(loop.time()))
    began_s = loop.time()
    assert pace.is_kept
    await asyncio.sleep(0.2)
    assert [round(moment - began_s, 3) for moment in served] == [0.1]  # a quarter faster than the mean
    assert not pace.is_kept


@virtual
async def test_nobody_is_paced_some_time_after_it_was_full(loop: VirtualLoop) -> None:
    pace = Pace()
    pace.was_full(loop.time(), 0.25)
    await asyncio.sleep(0.5)
    assert all(pace.lets_in(loop.time(), 0.1) for _ in range(100))
