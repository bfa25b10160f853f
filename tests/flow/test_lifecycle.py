from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from penstock.flow.lifecycle import Lifecycle, Step, Tasks
from tests.simulation.loop import VirtualLoop, virtual


def step(
    log: list[str], name: str, error: Exception | None = None, seconds: float = 0
) -> Callable[[], Awaitable[None]]:
    async def take() -> None:
        await asyncio.sleep(seconds)
        log.append(name)
        if error is not None:
            raise error

    return take


@virtual
async def test_parts_start_in_order_and_stop_in_reverse(loop: VirtualLoop) -> None:
    log, steps = list[str](), list[Step]()
    lifecycle = Lifecycle(observe=steps.append, clock=loop)
    for name in ("catalog", "stores", "gateway"):
        lifecycle.add(name, start=step(log, f"+{name}"), stop=step(log, f"-{name}"), because=f"{name} has its place")
    async with lifecycle:
        assert log == ["+catalog", "+stores", "+gateway"]
    assert log[3:] == ["-gateway", "-stores", "-catalog"]
    assert lifecycle.order[0] == ("catalog", "catalog has its place")
    assert (steps[0].action, steps[0].part) == ("start", "catalog")


@virtual
async def test_a_part_that_fails_to_start_stops_those_before_it(loop: VirtualLoop) -> None:
    log = list[str]()
    lifecycle = Lifecycle(clock=loop)
    lifecycle.add("a", start=step(log, "+a"), stop=step(log, "-a"), because="")
    lifecycle.add("b", start=step(log, "+b", KeyError("b")), stop=step(log, "-b"), because="")
    lifecycle.add("c", start=step(log, "+c"), stop=step(log, "-c"), because="")
    with pytest.raises(KeyError):
        await lifecycle.start()
    assert log == ["+a", "+b", "-a"]


@virtual
async def test_a_part_that_fails_or_hangs_on_stopping_does_not_keep_the_others(loop: VirtualLoop) -> None:
    log = list[str]()
    lifecycle = Lifecycle(clock=loop)
    lifecycle.add("a", stop=step(log, "-a"), because="")
    lifecycle.add("b", stop=step(log, "-b", KeyError("b")), because="")
    lifecycle.add("c", stop=step(log, "-c", seconds=1e9), because="", stop_within_s=5.0)
    await lifecycle.start()
    with pytest.raises(ExceptionGroup) as failed:
        await lifecycle.stop()
    assert {type(error) for error in failed.value.exceptions} == {KeyError, TimeoutError}
    assert log == ["-b", "-a"]
    await lifecycle.stop()
    assert log == ["-b", "-a"]


@virtual
async def test_a_helper_that_dies_is_heard_at_once(loop: VirtualLoop) -> None:
    lifecycle = Lifecycle(clock=loop)
    tasks = Tasks(name="store", on_death=lifecycle.fail)

    async def dies() -> None:
        await asyncio.sleep(3)
        raise ValueError("disk")

    tasks.start("flush", dies())
    with pytest.raises(RuntimeError, match=r"'store:flush' has died.*disk"):
        await lifecycle.until_stopped(asyncio.Event())
    assert loop.time() == pytest.approx(1003.0)
    assert tasks.names == []


@virtual
async def test_a_helper_that_died_before_anyone_listened_is_heard_too(loop: VirtualLoop) -> None:
    lifecycle = Lifecycle(clock=loop)
    lifecycle.fail("store:flush", ValueError("disk"))
    with pytest.raises(RuntimeError, match="has died"):
        await lifecycle.until_stopped(asyncio.Event())


@virtual
async def test_until_stopped_returns_when_asked(loop: VirtualLoop) -> None:
    stop = asyncio.Event()
    loop.call_later(5.0, stop.set)
    await Lifecycle(clock=loop).until_stopped(stop)
    assert loop.time() == pytest.approx(1005.0)


@virtual
async def test_tasks_are_named_cancelled_and_waited_for(loop: VirtualLoop) -> None:
    log = list[str]()
    tasks = Tasks(name="store", on_death=lambda name, error: log.append(f"{name} {error}"))

    async def lingers() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            await asyncio.sleep(2)
            log.append("clean")

    tasks.start("b", lingers())
    tasks.start("a", lingers())
    assert tasks.names == ["store:a", "store:b"]
    await asyncio.sleep(1)
    await tasks.stop()
    assert log == ["clean", "clean"]
    with pytest.raises(RuntimeError, match="stopping"):
        tasks.start("late", lingers())
