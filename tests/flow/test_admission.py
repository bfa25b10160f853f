from __future__ import annotations

import asyncio

import pytest

from penstock.core.context import Context, Priority
from penstock.core.errors import DeadlineExceeded, Overloaded, RateLimited
from penstock.flow.admission import Admission
from penstock.flow.limit import FixedLimit
from tests.flow.callers import caller
from tests.simulation.loop import VirtualLoop, virtual


def a_door(loop: VirtualLoop, places: int, **settings: object) -> Admission:
    return Admission(
        name="door", limit=FixedLimit(places), clock=loop, **{"patience_s": 100.0, "reserve": 0.1, **settings}
    )


async def stay(door: Admission, ctx: Context, seconds: float, log: list[str] | None = None, name: str = "") -> None:
    async with door.admit(ctx):
        if log is not None:
            log.append(name)
        await asyncio.sleep(seconds)


async def known_service(door: Admission, loop: VirtualLoop, seconds: float) -> None:
    """Let the door learn how long work takes."""
    await stay(door, caller(loop), seconds)


@virtual
async def test_as_many_as_the_limit_are_inside(loop: VirtualLoop) -> None:
    door = a_door(loop, 2)
    inside = [asyncio.create_task(stay(door, caller(loop, priority="batch"), 1.0)) for _ in range(5)]
    inside += [asyncio.create_task(stay(door, caller(loop), 1.0)) for _ in range(1)]
    await asyncio.sleep(0.5)
    assert (door.in_flight, door.waiting) == (2, 4)
    await asyncio.gather(*inside)
    assert (door.in_flight, door.waiting) == (0, 0)


@virtual
async def test_who_cannot_be_served_in_time_is_refused_at_once(loop: VirtualLoop) -> None:
    door = a_door(loop, 1)
    await known_service(door, loop, 1.0)
    held = asyncio.create_task(stay(door, caller(loop), 1.0))
    await asyncio.sleep(0)
    began_s = loop.time()
    with pytest.raises(Overloaded) as refused:
        await stay(door, caller(loop, timeout_s=1.5, priority="batch"), 1.0)
    assert loop.time() == pytest.approx(began_s)
    assert isinstance(door.retry_after_s(), int)
    assert refused.value.retry_after_s == 1
    await held


@virtual
async def test_nobody_waits_past_the_moment_after_which_the_deadline_cannot_be_met(loop: VirtualLoop) -> None:
    door = a_door(loop, 1)
    await known_service(door, loop, 1.0)
    held = asyncio.create_task(stay(door, caller(loop, timeout_s=100), 50.0))
    await asyncio.sleep(0)
    began_s = loop.time()
    with pytest.raises(Overloaded, match="No place came free in time"):
        await stay(door, caller(loop, timeout_s=5.0, priority="batch"), 1.0)
    assert loop.time() - began_s == pytest.approx(4.0, rel=0.06)
    assert door.waiting == 0
    held.cancel()


@virtual
async def test_an_expired_caller_never_comes_in(loop: VirtualLoop) -> None:
    door = a_door(loop, 1)
    with pytest.raises(DeadlineExceeded):
        await stay(door, caller(loop, timeout_s=0.0), 1.0)
    assert door.in_flight == 0


@virtual
async def test_an_interactive_wait_is_short_and_a_patient_one_long(loop: VirtualLoop) -> None:
    door = a_door(loop, 1, wait_share=0.25)
    await known_service(door, loop, 1.0)
    held = asyncio.create_task(stay(door, caller(loop, timeout_s=100), 1.0))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await stay(door, caller(loop, timeout_s=100), 1.0)
    await stay(door, caller(loop, timeout_s=100, priority="batch"), 1.0)
    await held


@virtual
async def test_tenants_take_turns(loop: VirtualLoop) -> None:
    door, log = a_door(loop, 1), list[str]()
    tasks = [asyncio.create_task(stay(door, caller(loop, tenant="x", priority="batch"), 1.0, log, "x"))]
    await asyncio.sleep(0)
    for tenant in ("a", "a", "a", "a", "b", "b", "c"):
        ctx = caller(loop, tenant=tenant, timeout_s=100, priority="batch")
        tasks.append(asyncio.create_task(stay(door, ctx, 1.0, log, tenant)))
    await asyncio.gather(*tasks)
    assert "".join(log) == "xabcabaa"


@virtual
async def test_urgent_before_patient(loop: VirtualLoop) -> None:
    door, log = a_door(loop, 1, shortest_wait_s=100.0), list[str]()
    tasks = []
    for priority in ("batch", "ingestion", "batch", "interactive"):
        ctx = caller(loop, timeout_s=100, priority=priority)  # type: ignore[arg-type]
        tasks.append(asyncio.create_task(stay(door, ctx, 1.0, log, priority)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert log == ["batch", "interactive", "batch", "ingestion"]


@virtual
async def test_patient_work_leaves_places_for_interactive_callers(loop: VirtualLoop) -> None:
    door = a_door(loop, 10, reserve=0.2)
    tasks = [asyncio.create_task(stay(door, caller(loop, priority="ingestion"), 1.0)) for _ in range(20)]
    await asyncio.sleep(0)
    assert door.in_flight == 6
    tasks += [asyncio.create_task(stay(door, caller(loop, priority="batch"), 1.0)) for _ in range(20)]
    await asyncio.sleep(0)
    assert door.in_flight == 8
    await stay(door, caller(loop), 0.1)
    assert loop.time() == pytest.approx(1000.1)
    for task in tasks:
        task.cancel()


@virtual
async def test_in_a_full_queue_the_one_with_more_gives_way(loop: VirtualLoop) -> None:
    door = a_door(loop, 1, max_waiting=4)
    tasks = [
        asyncio.create_task(stay(door, caller(loop, tenant="greedy", timeout_s=100, priority="batch"), 1.0))
        for _ in range(5)
    ]
    await asyncio.sleep(0)
    modest = asyncio.create_task(stay(door, caller(loop, tenant="modest", timeout_s=100, priority="batch"), 1.0))
    results = await asyncio.gather(*tasks, modest, return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 4 + [RateLimited, type(None)]
    assert isinstance(results[4], RateLimited)


@virtual
async def test_a_full_queue_refuses_one_more_of_the_same(loop: VirtualLoop) -> None:
    door = a_door(loop, 1, max_waiting=2)
    tasks = [asyncio.create_task(stay(door, caller(loop, timeout_s=100, priority="batch"), 1.0)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="queue is full"):
        await stay(door, caller(loop, timeout_s=100, priority="batch"), 1.0)
    await asyncio.gather(*tasks)


@virtual
async def test_a_cancelled_waiter_leaves_no_trace(loop: VirtualLoop) -> None:
    door = a_door(loop, 1)
    held = asyncio.create_task(stay(door, caller(loop), 1.0))
    await asyncio.sleep(0)
    waiter = asyncio.create_task(stay(door, caller(loop, priority="batch"), 1.0))
    await asyncio.sleep(0)
    assert door.waiting == 1
    waiter.cancel()
    await asyncio.wait([waiter])
    assert door.waiting == 0
    await held
    assert door.in_flight == 0


@virtual
async def test_a_waiter_cancelled_in_the_turn_in_which_its_place_comes_passes_it_on(loop: VirtualLoop) -> None:
    door = a_door(loop, 1)
    permit = door.admit(caller(loop))
    await permit.__aenter__()
    waiter = asyncio.create_task(stay(door, caller(loop, priority="batch"), 1.0))
    other = asyncio.create_task(stay(door, caller(loop, priority="batch"), 1.0))
    await asyncio.sleep(0)
    permit.give_back()
    waiter.cancel()
    await asyncio.wait([waiter])
    assert waiter.cancelled()
    await other
    assert door.in_flight == 0


@virtual
async def test_a_permit_cannot_be_given_back_twice_or_used_twice(loop: VirtualLoop) -> None:
    door = a_door(loop, 3)
    keeps = asyncio.create_task(stay(door, caller(loop), 5.0))
    await asyncio.sleep(0)
    async with door.admit(caller(loop)) as permit:
        permit.give_back()
        permit.give_back()
        assert not permit.is_held
    assert door.in_flight == 1
    with pytest.raises(RuntimeError, match="used once"):
        await permit.__aenter__()
    await keeps


@virtual
async def test_a_place_is_free_after_an_error_and_the_error_teaches_nothing(loop: VirtualLoop) -> None:
    door = a_door(loop, 1)
    with pytest.raises(KeyError):
        async with door.admit(caller(loop)):
            raise KeyError
    assert (door.in_flight, door.service.seen) == (0, 0)


@virtual
async def test_retry_after_is_when_those_who_wait_have_been_served(loop: VirtualLoop) -> None:
    door = a_door(loop, 2)
    await known_service(door, loop, 4.0)
    tasks = [asyncio.create_task(stay(door, caller(loop, timeout_s=99, priority="batch"), 4.0)) for _ in range(6)]
    await asyncio.sleep(0)
    assert door.waiting == 5  # one place is kept
    assert door.retry_after_s() == 12
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize(("priority", "longest_s"), [("batch", 3.0), ("interactive", 0.5)])
def test_who_waits_in_vain_waits_as_long_as_was_promised(priority: Priority, longest_s: float) -> None:
    """Batch work for `patience_s`, interactive callers for twice their share of the service time."""

    @virtual
    async def story(loop: VirtualLoop) -> None:
        door = a_door(loop, 8, patience_s=3.0, wait_share=0.25)
        await known_service(door, loop, 1.0)
        held = [asyncio.create_task(stay(door, caller(loop), 60.0)) for _ in range(8)]
        await asyncio.sleep(0)
        began_s = loop.time()
        with pytest.raises(Overloaded):
            await stay(door, caller(loop, timeout_s=100.0, priority=priority), 1.0)
        assert loop.time() - began_s == pytest.approx(longest_s, rel=0.06)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    story()
