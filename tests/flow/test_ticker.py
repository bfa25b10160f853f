from __future__ import annotations

import asyncio
from contextlib import ExitStack

from penstock.flow.ticker import LONGEST_S, Ticker


async def test_a_tick_is_not_before_its_time_and_not_long_after() -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker(shortest_s=0.05)
    began_s = loop.time()

    await ticker.tick()

    assert 0.05 <= loop.time() - began_s < 0.5


async def test_without_a_time_nobody_waits() -> None:
    ticker = Ticker(shortest_s=0.0)
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1

    asyncio.get_running_loop().call_soon(count)
    await ticker.tick()

    assert turns == 0


async def test_who_waits_is_woken_in_the_order_of_their_times() -> None:
    ticker = Ticker(shortest_s=0.01)
    woken: list[int] = []

    async def wait(number: int) -> None:
        await asyncio.sleep(number * 0.01)
        await ticker.tick()
        woken.append(number)

    await asyncio.gather(*(wait(number) for number in (3, 1, 2, 0)))

    assert woken == [0, 1, 2, 3]


async def test_one_who_leaves_does_not_keep_the_others() -> None:
    ticker = Ticker(shortest_s=0.02)
    leaving, staying = asyncio.create_task(ticker.tick()), asyncio.create_task(ticker.tick())
    await asyncio.sleep(0)

    leaving.cancel()

    async with asyncio.timeout(5):
        await staying
    assert leaving.cancelled()


def test_the_tick_grows_with_the_streams_up_to_a_bound() -> None:
    ticker = Ticker(shortest_s=0.01)
    with ExitStack() as stack:
        assert ticker.period_s == 0.01
        for _ in range(500):
            stack.enter_context(ticker.stream())
        assert 0.04 < ticker.period_s < 0.06
        for _ in range(5000):
            stack.enter_context(ticker.stream())
        assert ticker.period_s == LONGEST_S
    assert ticker.period_s == 0.01
