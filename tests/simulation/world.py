"""A simulated service around the real objects of flow/: one seed makes the load, the sizes, the faults and the order.

caller → rate limit → door → embed (single flight, batched) → two shards (one hedged, batched)
       → engine (retries → breaker → door of its own → slots)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from penstock.core.context import Context, Priority
from penstock.core.errors import DeadlineExceeded, Overloaded, PenstockError, RateLimited, StageUnavailable
from penstock.core.types import Principal
from penstock.flow.admission import Admission
from penstock.flow.batcher import Batcher, BatchReport
from penstock.flow.breaker import Breaker
from penstock.flow.fanout import Gathered, scatter
from penstock.flow.hedge import Hedge
from penstock.flow.limit import AdaptiveLimit, FixedLimit, Limit
from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import Charge, Quota
from penstock.flow.retry import Backoff, TargetBudget, retry
from penstock.flow.singleflight import SingleFlight
from tests.simulation.loop import VirtualLoop, run_virtual
from tests.simulation.watch import SLACK_S, BatcherBook, Broken, Caller, DoorBook, Item, Watch

CALLERS = 60


@dataclass
class Parts:
    """What the world is built of. A planted bug replaces one."""

    admission: Callable[..., Admission] = Admission
    batcher: Callable[..., Batcher[Item, str]] = Batcher
    breaker: Callable[..., Breaker] = Breaker
    budget: Callable[[], TargetBudget] = TargetBudget
    flights: Callable[..., SingleFlight[tuple[str, str], str]] = SingleFlight
    hedge: Callable[..., Hedge] = Hedge
    scatter: Callable[..., Awaitable[Gathered[str]]] = scatter
    retry: Callable[..., Awaitable[str]] = retry
    limiter: Callable[..., LocalLimiter] = LocalLimiter


@dataclass
class Plan:
    """What a seed decides before anything runs."""

    rng: random.Random
    focus: str = "door"
    callers: int = CALLERS
    slots: int = 4
    service_s: float = 0.1
    places: int = 8
    is_adaptive: bool = False
    max_waiting: int = 8
    reserve: float = 0.1
    workers: int = 1
    embed_s: float = 0.002
    lane: int = 64
    tenants: int = 3
    load: float = 1.0
    poison: float = 0.02
    leaves: float = 0.15
    flaky: float = 0.0
    failure_share: float = 0.5
    outage: tuple[float, float] = (0.0, 0.0)
    quota: Quota = field(default_factory=Quota)


def plan_of(seed: int) -> Plan:
    rng = random.Random(seed)
    plan = Plan(rng=rng, focus=("door", "batcher", "engine")[seed % 3])
    plan.slots = rng.randint(1, 6)
    plan.tenants = rng.randint(1, 4)
    plan.load = rng.choice((0.5, 1.0, 2.0, 5.0))
    plan.reserve = rng.choice((0.0, 0.1, 0.25))
    plan.max_waiting = rng.choice((2, 8, 32))
    plan.is_adaptive = rng.random() < 0.3
    plan.places = plan.slots + rng.randint(0, 3)
    plan.workers = rng.choice((1, 1, 2, 3))
    if plan.focus == "batcher":
        plan.places, plan.embed_s, plan.lane = 400, 0.03, rng.choice((4, 16, 64))
        plan.slots = 50
    if plan.focus == "engine":
        plan.places = 60
        start_s = rng.uniform(0.5, 2.0)
        plan.outage = (start_s, start_s + rng.uniform(0.5, 4.0))
        plan.load = min(plan.load, 2.0)
        plan.flaky = rng.choice((0.0, 0.3))
        if plan.flaky:  # So little load, and so patient a breaker, that only the budgets bound the attempts.
            plan.outage, plan.load, plan.slots, plan.failure_share = (0.0, 0.0), 0.5, 6, 0.9
    if rng.random() < 0.3:
        plan.quota = Quota(requests_per_minute=rng.choice((60.0, 300.0, 1200.0)), streams=rng.randint(2, 12))
    return plan


class World:
    """The service, its callers, and the watch that follows them."""

    def __init__(self, loop: VirtualLoop, plan: Plan, parts: Parts) -> None:
        self.loop, self.plan, self.parts = loop, plan, parts
        self.rng = plan.rng
        self.watch = Watch(loop)
        self.began_s = loop.time()
        self.door, self.door_book = self._door("door", self._limit(), plan.max_waiting)
        self.engine_door, self.engine_book = self._door("engine", FixedLimit(plan.slots), 16)
        self.embed, self.embed_book = self._batcher("embed", plan.embed_s, max_items=16, max_size=512)
        self.shards = {name: self._batcher(name, 0.004, max_items=8, max_size=64) for name in ("s1", "s1b", "s2")}
        self.rerank = self._batcher("rerank", max(0.003, plan.embed_s), max_items=8, max_size=512)
        self.flights = parts.flights(name="embed")
        self.passengers: dict[tuple[str, str], dict[Caller, None]] = {}
        self.hedge = parts.hedge(name="s1", least_seen=10, max_share=0.2, clock=loop)
        self.budget = parts.budget()
        self.breaker = parts.breaker(
            name="engine",
            failure_share=plan.failure_share,
            rng=self.rng,
            observe=self._breaker_turned,
            patience_s=4 * plan.service_s,
            clock=loop,
        )
        self.limiter = parts.limiter(clock=loop)
        self.tasks: dict[Caller, asyncio.Task[None]] = {}
        self.granted: dict[str, int] = {}
        self.streams: dict[str, int] = {}
        self.poisoned: dict[str, bool] = {}
        self.engine_calls = 0
        self.engine_attempts = 0
        self.failed_in_a_row = 0
        self.turned_s = -1.0
        self.probing = 0
        loop.on_idle = self.watch.at_rest

    # --- building ---------------------------------------------------------------------

    def _limit(self) -> Limit:
        if not self.plan.is_adaptive:
            return FixedLimit(self.plan.places)
        return AdaptiveLimit(initial=self.plan.places, lowest=2, highest=64, clock=self.loop)

    def _door(self, name: str, limit: Limit, max_waiting: int) -> tuple[Admission, DoorBook]:
        reserve = self.plan.reserve if name == "door" else 0.0
        door = self.parts.admission(
            name=name, limit=limit, max_waiting=max_waiting, wait_share=0.5, reserve=reserve, clock=self.loop
        )
        return door, DoorBook(self.watch, door, reserve=reserve, max_waiting=max_waiting)

    def _batcher(
        self, name: str, run_s: float, *, max_items: int, max_size: int
    ) -> tuple[Batcher[Item, str], BatcherBook]:
        book: BatcherBook

        async def run(items: Sequence[Item]) -> Sequence[str | BaseException]:
            return await self._compute(book, list(items), run_s)

        batcher = self.parts.batcher(
            name=name,
            run=run,
            size_of=lambda item: item.size,
            max_items=max_items,
            max_size=max_size,
            max_wait_s=0.1,
            max_waiting=self.plan.lane,
            workers=self.plan.workers,
            observe=self._batch_done,
            clock=self.loop,
        )
        book = BatcherBook(
            self.watch,
            batcher,
            name=name,
            workers=self.plan.workers,
            max_items=max_items,
            max_size=max_size,
            max_waiting=self.plan.lane,
            max_wait_s=0.1,
        )
        return batcher, book

    # --- the stages -------------------------------------------------------------------

    async def _compute(self, book: BatcherBook, items: list[Item], run_s: float) -> list[str | BaseException]:
        book.starts(items)
        self.watch.log(f"run {book.name}", ",".join(str(item.caller.number) for item in items))
        try:
            await asyncio.sleep(run_s * self.rng.uniform(0.5, 1.5) * (3.0 if self.rng.random() < 0.1 else 1.0))
        finally:
            book.ends(items)
        bad = [item for item in items if item.poison]
        if bad and items[0].caller.number % 2:
            raise ValueError(f"poison {bad[0].caller.number}")
        return [ValueError(f"poison {i.caller.number}") if i.poison else f"{book.name}:{i.caller.text}" for i in items]

    async def _submit(self, pair: tuple[Batcher[Item, str], BatcherBook], item: Item, ctx: Context) -> str:
        batcher, book = pair
        book.submits(item)
        try:
            return await batcher.submit(item, ctx)
        finally:
            book.gone(item)

    async def _embed(self, caller: Caller, ctx: Context) -> str:
        key = (caller.tenant, caller.text)
        self.passengers.setdefault(key, {})[caller] = None
        try:
            return await self.flights.do(
                key, lambda: self._submit((self.embed, self.embed_book), self._item(caller, ctx, caller.size), ctx), ctx
            )
        finally:
            del self.passengers[key][caller]

    async def _search(self, caller: Caller, ctx: Context) -> Mapping[str, str]:
        def ask(name: str, inner: Context) -> Callable[[], Awaitable[str]]:
            return lambda: self._submit(self.shards[name], self._item(caller, inner, 8), inner)

        async def hedged(inner: Context) -> str:
            return await self.hedge.call([ask("s1", inner), ask("s1b", inner)])

        async def plain(inner: Context) -> str:
            return await ask("s2", inner)()

        gathered = await self.parts.scatter({"s1": hedged, "s2": plain}, ctx=ctx, spare_s=0.01, stage="search")
        return gathered.results

    async def _generate(self, caller: Caller, ctx: Context) -> str:
        self.engine_calls += 1
        return await self.parts.retry(
            lambda: self._attempt(caller, ctx),
            ctx=ctx,
            budget=self.budget,
            backoff=Backoff(first_s=0.02),
            rng=self.rng,
        )

    async def _attempt(self, caller: Caller, ctx: Context) -> str:
        caller.tries += 1
        self.watch.hold(caller.tries <= 3, f"{caller.number} tries again and again")
        async with self.breaker.attempt():
            began_s = self.loop.time()
            is_probe = self.breaker.state == "half_open"
            self.probing += is_probe
            try:
                self.watch.hold(self.probing <= 3, "more probes than allowed")
                result = await self._at_engine(caller, ctx)
            except StageUnavailable:
                if began_s > self.turned_s:
                    self.failed_in_a_row += 1
                raise
            else:
                self.failed_in_a_row = 0
                return result
            finally:
                self.probing -= is_probe

    async def _at_engine(self, caller: Caller, ctx: Context) -> str:
        state = self.breaker.state
        self.watch.hold(self.failed_in_a_row < 5 or state != "closed", "the breaker stays closed on failures")
        async with self._through(self.engine_door, self.engine_book, caller, ctx):
            ctx.check("engine")
            self.engine_attempts += 1
            self.watch.log("engine", caller.number)
            since_s = self.loop.time() - self.began_s
            is_out = self.plan.outage[0] <= since_s < self.plan.outage[1]
            if is_out or self.rng.random() < self.plan.flaky:
                await asyncio.sleep(min(0.005, ctx.remaining_s()))
                raise StageUnavailable("engine", "down")
            try:
                async with asyncio.timeout(ctx.remaining_s()):
                    await asyncio.sleep(self.plan.service_s * self.rng.uniform(0.5, 1.5))
            except TimeoutError as error:
                raise DeadlineExceeded(stage="engine") from error
            return f"answer:{caller.text}"

    def _through(self, door: Admission, book: DoorBook, caller: Caller, ctx: Context) -> Through:
        return Through(door, book, caller, ctx, self._place_freed)

    def _item(self, caller: Caller, ctx: Context, size: int) -> Item:
        return Item(caller=caller, context=ctx, size=size, poison=caller.poison)

    # --- a request ----------------------------------------------------------------------

    async def serve(self, caller: Caller) -> None:
        ctx = Context(
            principal=Principal(tenant=caller.tenant),
            deadline_s=caller.deadline_s,
            request_id=str(caller.number),
            priority=caller.priority,
            clock=self.loop,
        )
        charges = [Charge(account=caller.tenant, quota=self.plan.quota)]
        decided = await self.limiter.take(charges)
        if not decided.allowed:
            raise decided.refusal()
        self._count_grant(caller.tenant)
        if not await self.limiter.open_stream(charges, str(caller.number), lease_s=ctx.remaining_s() + 1.0):
            raise RateLimited("too many streams")
        self._count_stream(caller.tenant, 1)
        try:
            async with self._through(self.door, self.door_book, caller, ctx) as permit:
                vector = await self._embed(caller, ctx)
                self.watch.hold(vector == f"embed:{caller.text}", f"{caller.number} got the result of another")
                found = await self._search(caller, ctx)
                good = all(value.endswith(f":{caller.text}") for value in found.values())
                self.watch.hold(good, f"{caller.number} got hits of another")
                await self._submit(self.rerank, self._item(caller, ctx, caller.size // 4 + 1), ctx)
                await self._generate(caller, ctx)
                if caller.number % 7 == 0:
                    permit.give_back()
                    self.door_book.gone(caller)
        finally:
            await self.limiter.close_stream(charges, str(caller.number))
            self._count_stream(caller.tenant, -1)

    async def client(self, caller: Caller, at_s: float) -> None:
        await asyncio.sleep(at_s)
        caller.deadline_s += self.loop.time()
        self.watch.callers.append(caller)
        task = self.tasks[caller] = asyncio.create_task(self.serve(caller), name=f"request {caller.number}")
        if self.rng.random() < self.plan.leaves:
            self.loop.call_later(self.rng.uniform(0.0, 0.3), self._leave, caller, task)
        await asyncio.wait([task])
        caller.outcome = self._outcome(caller, task)
        self.watch.callers.remove(caller)
        del self.tasks[caller]
        self.watch.log(caller.outcome, caller.number)

    def _place_freed(self, book: DoorBook) -> None:
        """The nastiest moment to leave is the one in which the place comes."""
        if book.waiting and self.rng.random() < 0.1:
            caller = self.rng.choice(list(book.waiting))
            self.loop.call_soon(self._leave, caller, self.tasks[caller])

    def _leave(self, caller: Caller, task: asyncio.Task[None]) -> None:
        if task.cancel():
            caller.left_s = self.loop.time()

    def _outcome(self, caller: Caller, task: asyncio.Task[None]) -> str:
        if task.cancelled():
            self.watch.hold(caller.left_s < float("inf"), f"{caller.number} was cancelled by another")
            return "left"
        error = task.exception()
        if error is None:
            return "answered"
        if isinstance(error, Broken):
            raise error
        if isinstance(error, ValueError):
            self.watch.hold(caller.poison, f"{caller.number} failed by another's item: {error}")
            return "poison"
        self.watch.hold(isinstance(error, PenstockError), f"{caller.number} met {error!r}")
        if isinstance(error, Overloaded):
            self.watch.hold(error.retry_after_s >= 0, "no time to come back")
        if isinstance(error, StageUnavailable) and self.plan.focus != "engine" and not caller.poison:
            raise Broken(f"{caller.number} met {error!r} of a healthy stage")
        return type(error).__name__

    # --- other books ----------------------------------------------------------------------

    def _batch_done(self, report: BatchReport) -> None:
        self.watch.hold(0.0 <= report.padding <= 0.25 + 1e-9, f"padding {report.padding}")
        if report.items > 1:
            self.watch.seen["batch of many"] += 1
        if report.failed:
            self.watch.seen["failed in a batch"] += 1

    def _breaker_turned(self, state: str) -> None:
        self.failed_in_a_row = 0
        self.turned_s = self.loop.time()
        self.watch.log(f"breaker {state}")

    def _count_grant(self, tenant: str) -> None:
        self.granted[tenant] = self.granted.get(tenant, 0) + 1
        per_minute = self.plan.quota.requests_per_minute
        if per_minute is not None:
            passed_s = self.loop.time() - self.began_s
            most = max(1.0, per_minute / 60 * self.plan.quota.burst_s) + per_minute / 60 * passed_s
            self.watch.hold(self.granted[tenant] <= most + SLACK_S, f"{tenant} got more than its rate")

    def _count_stream(self, tenant: str, change: int) -> None:
        self.streams[tenant] = self.streams.get(tenant, 0) + change
        if self.plan.quota.streams is not None:
            self.watch.hold(self.streams[tenant] <= self.plan.quota.streams, f"{tenant} has too many streams")

    # --- the whole story ------------------------------------------------------------------

    async def run(self) -> Watch:
        clients = []
        at_s = 0.0
        rate = self.plan.load * min(self.plan.slots, 20) / self.plan.service_s
        for number in range(self.plan.callers):
            at_s += self.rng.expovariate(rate)
            if self.rng.random() < 0.02:
                at_s += 1.0
            clients.append(asyncio.create_task(self.client(self._caller(number), at_s), name=f"client {number}"))
        await asyncio.gather(*clients)
        await self._ends_well()
        return self.watch

    def _caller(self, number: int) -> Caller:
        tenant = min(self.plan.tenants - 1, int(self.rng.expovariate(1.0)))
        priority: Priority = self.rng.choices(("interactive", "batch", "ingestion"), (6, 3, 1))[0]
        text = f"x{number // 3}" if self.rng.random() < 0.3 else f"y{number}"
        poison = self.poisoned.setdefault(text, self.rng.random() < self.plan.poison)
        return Caller(
            number=number,
            tenant=f"t{tenant}",
            priority=priority,
            size=self.rng.randint(1, 300),
            text=text,
            poison=poison,
            deadline_s=self.rng.choice((0.05, 0.3, 1.0, 3.0)),
        )

    async def _ends_well(self) -> None:
        await asyncio.sleep(0.001)
        watch = self.watch
        watch.at_rest()
        for book in (self.door_book, self.engine_book):
            watch.hold(not book.inside and not book.waiting, "someone is still at a door")
        for batcher, book in ((self.embed, self.embed_book), self.rerank, *self.shards.values()):
            watch.hold(batcher.running == 0 and not book.running, f"{book.name} still runs")
            watch.hold(batcher.waiting == 0, f"{book.name} still has waiting items")
            await batcher.stop()
        watch.hold(len(self.flights) == 0, "a flight never lands")
        watch.hold(not any(self.streams.values()), "a stream is never counted out")
        watch.hold(
            self.engine_attempts <= 1.2 * self.engine_calls + 3,
            f"{self.engine_attempts} attempts for {self.engine_calls} calls",
        )
        await self._recovers()

    async def _recovers(self) -> None:
        """A target that is healthy again is called again, within 5 s and all calls."""
        end_s = self.began_s + self.plan.outage[1]
        await asyncio.sleep(max(0.0, end_s - self.loop.time()))
        for _ in range(50):
            try:
                async with self.breaker.attempt():
                    await asyncio.sleep(0.01)
            except StageUnavailable:
                self.watch.seen["fails at once"] += 1
            await asyncio.sleep(0.09)
        self.watch.hold(self.breaker.state == "closed", "the breaker does not recover")


class Through:
    """A door with its book kept."""

    def __init__(
        self, door: Admission, book: DoorBook, caller: Caller, ctx: Context, freed: Callable[[DoorBook], None]
    ) -> None:
        self._freed = freed
        self._permit = door.admit(ctx)
        self._book, self._caller = book, caller

    async def __aenter__(self) -> Any:
        self._book.arrives(self._caller)
        try:
            await self._permit.__aenter__()
        except BaseException as error:
            if isinstance(error, Overloaded):
                self._book.refused(self._caller)
            self._book.gone(self._caller)
            raise
        self._book.enters(self._caller)
        return self._permit

    async def __aexit__(self, *error: object) -> None:
        self._book.gone(self._caller)
        self._freed(self._book)
        await self._permit.__aexit__(*cast("tuple[Any, Any, Any]", error))


def simulate(seed: int, parts: Parts | None = None, *, collect: bool = True) -> Watch:
    """One world from its seed to its end. Raises AssertionError when anything did not hold."""

    async def main(loop: VirtualLoop) -> Watch:
        return await World(loop, plan_of(seed), parts or Parts()).run()

    return run_virtual(main, seed=seed, collect=collect)
