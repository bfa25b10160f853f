"""The adaptive limit, on simulated servers whose right answer is known."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque

import pytest

from penstock.core.context import Priority
from penstock.core.errors import Overloaded
from penstock.flow.admission import Admission
from penstock.flow.limit import AdaptiveLimit, FixedLimit
from tests.flow.callers import HandClock, caller
from tests.simulation.loop import VirtualLoop, virtual

SLOTS = 32
SERVICE_S = 0.25


class Server:
    """`slots` at once; the others wait behind, unseen, as in front of a language model."""

    def __init__(
        self,
        *,
        slots: int = SLOTS,
        service_s: float = SERVICE_S,
        seed: int = 1,
        spread: float = 0.1,
        is_wild: bool = False,
    ) -> None:
        self.spread, self.is_wild = spread, is_wild
        self.slots = asyncio.Semaphore(slots)
        self.service_s = service_s
        self.served = 0
        self._rng = random.Random(seed)

    async def serve(self) -> None:
        async with self.slots:
            spread = self._rng.expovariate(1.0) if self.is_wild else self._rng.uniform(1 - self.spread, 1 + self.spread)
            await asyncio.sleep(self.service_s * spread)
            self.served += 1


class Load:
    """Open-loop arrivals at `times` the capacity of a server, through a door."""

    def __init__(self, loop: VirtualLoop, server: Server, door: Admission, seed: int = 2) -> None:
        self.loop, self.server, self.door = loop, server, door
        self.latencies_s: list[float] = []
        self.refused = 0
        self.refused_of: Counter[str] = Counter()
        self.arrived_of: Counter[str] = Counter()
        self.latencies_of: dict[str, list[float]] = {}
        self._rng = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, *, times: float, seconds: float, priority: Priority = "interactive") -> None:
        rate = times * SLOTS / SERVICE_S
        end_s = self.loop.time() + seconds
        while self.loop.time() < end_s:
            await asyncio.sleep(self._rng.expovariate(rate))
            task = asyncio.create_task(self._one(priority))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        await asyncio.gather(*self._tasks)

    async def _one(self, priority: Priority) -> None:
        began_s = self.loop.time()
        self.arrived_of[priority] += 1
        try:
            async with self.door.admit(caller(self.loop, timeout_s=30.0, priority=priority)):
                await self.server.serve()
        except Overloaded:
            self.refused += 1
            self.refused_of[priority] += 1
        else:
            self.latencies_s.append(self.loop.time() - began_s)
            self.latencies_of.setdefault(priority, []).append(self.loop.time() - began_s)

    def p99(self) -> float:
        return sorted(self.latencies_s)[int(len(self.latencies_s) * 0.99)]


@pytest.mark.parametrize("spread", [0.0, 0.1])
@pytest.mark.parametrize(("times", "least_goodput"), [(2.0, 0.95), (5.0, 0.90), (10.0, 0.90)])
def test_overload_keeps_goodput_and_latency(times: float, least_goodput: float, spread: float) -> None:
    """Check 9; where all work takes exactly as long, what began together ends together."""

    @virtual
    async def story(loop: VirtualLoop) -> None:
        server = Server(spread=spread)
        door = Admission(name="door", limit=AdaptiveLimit(clock=loop), clock=loop)
        load = Load(loop, server, door)
        await load.run(times=0.5, seconds=5)
        load.latencies_s.clear()
        served_before = server.served
        await load.run(times=times, seconds=20)
        goodput = (server.served - served_before) / 20 / (SLOTS / SERVICE_S)
        p99 = load.p99()
        await load.run(times=0.5, seconds=3)
        load.latencies_s.clear()
        await load.run(times=0.5, seconds=3)
        back = load.p99()
        await load.settle()
        assert goodput >= least_goodput
        assert p99 <= 1.5 * SERVICE_S * 1.1
        assert back <= 1.1 * SERVICE_S * 1.1

    story()


@virtual
async def test_a_cold_start_under_overload_finds_the_capacity(loop: VirtualLoop) -> None:
    server = Server()
    limit = AdaptiveLimit(initial=4, clock=loop)
    load = Load(loop, server, Admission(name="door", limit=limit, clock=loop))
    await load.run(times=3.0, seconds=15)
    served_before = server.served
    await load.run(times=3.0, seconds=20)
    await load.settle()
    assert (server.served - served_before) / 20 >= 0.93 * SLOTS / SERVICE_S
    assert limit.value <= 2 * SLOTS


@virtual
async def test_a_server_that_becomes_slower_is_learned(loop: VirtualLoop) -> None:
    server = Server()
    limit = AdaptiveLimit(clock=loop)
    load = Load(loop, server, Admission(name="door", limit=limit, clock=loop))
    await load.run(times=2.0, seconds=10)
    server.service_s = 2 * SERVICE_S
    await load.run(times=2.0, seconds=30)
    served_before = server.served
    await load.run(times=2.0, seconds=20)
    await load.settle()
    assert (server.served - served_before) / 20 >= 0.9 * SLOTS / server.service_s


@pytest.mark.parametrize("seed", range(1, 6))
def test_service_times_that_scatter_do_not_choke_it(seed: int) -> None:
    @virtual
    async def story(loop: VirtualLoop) -> None:
        server = Server(is_wild=True, seed=seed)
        load = Load(loop, server, Admission(name="door", limit=AdaptiveLimit(clock=loop), clock=loop))
        await load.run(times=0.5, seconds=5)
        served_before = server.served
        await load.run(times=3.0, seconds=40)
        goodput = (server.served - served_before) / 40 / (SLOTS / SERVICE_S)
        await load.settle()
        assert goodput >= 0.9

    story()


@virtual
async def test_a_wave_of_batch_work_leaves_interactive_callers_alone(loop: VirtualLoop) -> None:
    """Check 10: interactive at 0.8 of the capacity beside 12 times the capacity of batch and ingestion."""
    server = Server()
    load = Load(loop, server, Admission(name="door", limit=AdaptiveLimit(clock=loop), clock=loop))
    await load.run(times=0.8, seconds=10)
    load.latencies_of.clear()
    load.arrived_of.clear()
    load.refused_of.clear()
    await asyncio.gather(
        load.run(times=0.8, seconds=20),
        load.run(times=8.0, seconds=20, priority="batch"),
        load.run(times=4.0, seconds=20, priority="ingestion"),
    )
    interactive = sorted(load.latencies_of["interactive"])
    refused = load.refused_of["interactive"] / load.arrived_of["interactive"]
    assert len(load.latencies_of["batch"]) > 0
    await load.settle()
    assert interactive[int(len(interactive) * 0.99)] <= 1.5 * SERVICE_S * 1.1
    assert refused <= 0.001


def feed(limit: AdaptiveLimit, clock: HandClock, latency_s: float, in_flight: int, windows: int) -> None:
    for _ in range(windows):
        clock.seconds += latency_s + 0.11
        for _ in range(33):
            limit.observe(latency_s, in_flight)


def test_latency_under_the_floor_is_not_congestion() -> None:
    clock = HandClock()
    limit = AdaptiveLimit(initial=16, floor_s=0.05, highest=64, clock=clock)
    feed(limit, clock, 0.002, 2, 5)
    feed(limit, clock, 0.04, 64, 100)
    assert limit.value == 64


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    clock = HandClock()
    limit = AdaptiveLimit(initial=16, clock=clock)
    feed(limit, clock, 0.1, 3, 50)
    assert limit.value == 16


def test_bounds_hold() -> None:
    clock = HandClock()
    limit = AdaptiveLimit(initial=16, lowest=4, highest=20, clock=clock)
    feed(limit, clock, 0.1, 20, 20)
    assert limit.value == 20
    seen = deque[int]()
    for _ in range(50):
        limit.dropped()
        feed(limit, clock, 10.0, 20, 1)
        seen.append(limit.value)
    assert min(seen) == 4


def test_a_fixed_limit_is_fixed() -> None:
    limit = FixedLimit(3)
    limit.observe(100.0, 3)
    limit.dropped()
    assert limit.value == 3
