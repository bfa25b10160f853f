"""One timer for the deadlines of all requests."""

from __future__ import annotations

import asyncio

from penstock.gateway.deadlines import Deadlines


class Waiting:
    """Notes that its deadline has passed."""

    def __init__(self) -> None:
        self.rang = asyncio.Event()

    def late(self) -> None:
        self.rang.set()


async def test_an_earlier_deadline_that_comes_later_rings_first() -> None:
    deadlines, patient, hasty = Deadlines(), Waiting(), Waiting()
    loop = asyncio.get_running_loop()
    deadlines.add(patient, 60.0, loop)

    deadlines.add(hasty, 0.01, loop)

    async with asyncio.timeout(5):
        await hasty.rang.wait()
    assert not patient.rang.is_set()


async def test_after_one_has_rung_the_next_does() -> None:
    deadlines, first, second = Deadlines(), Waiting(), Waiting()
    loop = asyncio.get_running_loop()
    deadlines.add(first, 0.01, loop)
    deadlines.add(second, 0.05, loop)

    async with asyncio.timeout(5):
        await second.rang.wait()

    assert first.rang.is_set()


async def test_who_is_done_is_not_rung_and_the_others_are() -> None:
    deadlines, done, late = Deadlines(), Waiting(), Waiting()
    loop = asyncio.get_running_loop()
    step = deadlines.add(done, 0.01, loop)
    deadlines.add(late, 0.03, loop)

    deadlines.discard(done, step)

    async with asyncio.timeout(5):
        await late.rang.wait()
    assert not done.rang.is_set()


async def test_a_deadline_that_has_passed_already_rings() -> None:
    deadlines, late = Deadlines(), Waiting()

    deadlines.add(late, 0.0, asyncio.get_running_loop())

    async with asyncio.timeout(5):
        await late.rang.wait()
