"""Twenty-four bugs, each planted in a copy of the real object. The simulation has to find them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from penstock.core.context import Context, Priority
from penstock.core.errors import Overloaded
from penstock.flow.admission import Admission, Permit
from penstock.flow.backlog import Entry, Group
from penstock.flow.batcher import Batcher
from penstock.flow.breaker import Breaker
from penstock.flow.fairqueue import URGENCY, Ring
from penstock.flow.fanout import Gathered
from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import Charge, Decision
from penstock.flow.retry import TargetBudget, is_passing
from penstock.flow.singleflight import SingleFlight, _Flight
from tests.simulation.world import Parts

# --- the door -------------------------------------------------------------------------


class KeepsPlaceOnError(Admission):
    """Gives the place back only after success."""

    def admit(self, ctx: Context, **more: Any) -> Permit:
        class Leaky(Permit):
            async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
                if error is None:
                    self.give_back()

        return Leaky(self, ctx, 1.0, None)


class KeepsPlaceOfCancelledWaiter(Admission):
    """A place given in the same turn as the cancellation is lost."""

    def admit(self, ctx: Context, **more: Any) -> Permit:
        class Leaky(Permit):
            def _abandon_wait(self) -> None:
                self._state = "over"
                self._admission.forget(self)

        return Leaky(self, ctx, 1.0, None)


class GivesBackTwice(Admission):
    """A permit that was given back early is given back again when the block ends."""

    def admit(self, ctx: Context, **more: Any) -> Permit:
        class Generous(Permit):
            def give_back(self, error: BaseException | None = None) -> None:
                self._state = "held"
                super().give_back(error)

        return Generous(self, ctx, 1.0, None)


class OneTooMany(Admission):
    """The limit is off by one."""

    def _places(self, priority: Any) -> int:
        return super()._places(priority) + 1


class WaitsForEver(Admission):
    """Nobody leaves the queue, whatever its deadline."""

    def expire(self, permit: Permit) -> None:
        """Not today."""


class ServesTheNewest(Admission):
    """Last come, first served."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)

        class Stack(Ring[Permit]):
            def pop(self) -> Permit:
                newest = list(self)[-1]
                self.remove(newest)
                return newest

        self._queue.rings = {priority: Stack() for priority in URGENCY}


class OneTenantFirst(Admission):
    """The tenant at the head is served until it has nothing left."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)

        class Greedy(Ring[Permit]):
            def pop(self) -> Permit:
                first = next(iter(self))
                self.remove(first)
                return first

        self._queue.rings = {priority: Greedy() for priority in URGENCY}


class PatientFirst(Admission):
    """Ingestion goes before questions."""

    def _serve(self) -> None:
        for priority in reversed(URGENCY):
            ring = self._queue.rings[priority]
            while len(ring) and self._in_flight < self._places(priority):
                permit = ring.pop()
                if permit.future is not None and not permit.future.done():
                    self._in_flight += 1
                    permit.hold(self.clock.now_s())


class NoReserve(Admission):
    """Less urgent work may take every place."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "reserve": 0.0})


class RemembersTheDeparted(Admission):
    """A cancelled waiter stays in the queue."""

    def forget(self, permit: Permit) -> None:
        """Who?"""


class WakesNobody(Admission):
    """A place that comes free by a failure is offered to nobody until the next one."""

    def give_back(self, priority: Priority, duration_s: float | None) -> None:
        if duration_s is None:
            self._in_flight -= 1
        else:
            super().give_back(priority, duration_s)


class NoBound(Admission):
    """The queue has no end."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "max_waiting": 10_000})


# --- the batcher ----------------------------------------------------------------------


class LosesErrors(Batcher[Any, Any]):
    """When a run raises, nobody hears of it."""

    async def _work(self, group: Group[Any, Any]) -> None:
        await self._attempt(group, list(group.entries))

    def _finish(self, group: Group[Any, Any]) -> None:
        for entry in group.entries:
            if not entry.future.done():
                entry.future = asyncio.get_running_loop().create_future()
                entry.future.cancel()
        super()._finish(group)


class BlamesAll(Batcher[Any, Any]):
    """One bad item fails its whole batch."""

    async def _work(self, group: Group[Any, Any]) -> None:
        error = await self._attempt(group, list(group.entries))
        for entry in group.entries:
            if error is not None and not entry.future.done():
                entry.future.set_exception(error)


class WorksForTheDeparted(Batcher[Any, Any]):
    """An item stays in when its caller leaves."""

    def _depart(self, entry: Entry[Any, Any]) -> None:
        entry.future.cancel()

    def _take(self, priority: Any, now_s: float) -> list[Entry[Any, Any]]:
        return self._lanes[priority].take(
            max_items=self._max_items, max_size=self._max_size, max_padding=self._max_padding
        )


class MixesUpResults(Batcher[Any, Any]):
    """Items are sorted by length for the model, and the results are not sorted back."""

    async def _attempt(self, group: Group[Any, Any], part: list[Entry[Any, Any]]) -> BaseException | None:
        run = self._run

        async def sorted_run(items: Sequence[Any]) -> Sequence[Any]:
            return await run(sorted(items, key=self._size_of))

        self._run = sorted_run
        try:
            return await super()._attempt(group, part)
        finally:
            self._run = run


class NoSweep(Batcher[Any, Any]):
    """A deadline is looked at only when a batch is made."""

    def _sweep_by(self, deadline_s: float, now_s: float) -> None:
        """Later."""


class RunsForNobody(Batcher[Any, Any]):
    """A batch goes on when all its callers have left."""

    def _depart(self, entry: Entry[Any, Any]) -> None:
        entry.group = None
        super()._depart(entry)


class StarvesThePatient(Batcher[Any, Any]):
    """Less urgent lanes get what urgent ones leave."""

    def _next_lane(self, now_s: float) -> Any:
        self._since_fair = 0
        return super()._next_lane(now_s)


class SleepsOnWork(Batcher[Any, Any]):
    """A finished batch does not start the next one."""

    def _finish(self, group: Group[Any, Any]) -> None:
        self._woken = True
        super()._finish(group)
        self._woken = False


class PaddedWithoutEnd(Batcher[Any, Any]):
    """Short and long items go together."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "max_padding": 1.0})


# --- the others ------------------------------------------------------------------------


class EndlessBudget(TargetBudget):
    """Always one more try."""

    def take(self) -> bool:
        return True


async def retry_for_ever(call: Callable[[], Awaitable[Any]], *, ctx: Context, **more: Any) -> Any:
    """No budget at all."""
    for _ in range(20):
        try:
            return await call()
        except Exception as error:
            if not is_passing(error) or ctx.remaining_s() < 0.05:
                raise
            await asyncio.sleep(0.01)
    return await call()


class NeverOpens(Breaker):
    """Counts failures, and goes on."""

    def _has_failed(self, now_s: float) -> bool:
        return False


class LosesAProbe(Breaker):
    """A probe whose caller left counts as under way for ever."""

    def leave(self, era: int, *, succeeded: bool | None) -> None:
        if succeeded is not None:
            super().leave(era, succeeded=succeeded)


class KeepsLandedFlights(SingleFlight[Any, Any]):
    """A flight stays when it has landed, so its error is everybody's for ever."""

    def _land(self, key: Any, flight: _Flight[Any]) -> None:
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()


class LeaderTakesAllDown(SingleFlight[Any, Any]):
    """When the first caller leaves, the work ends for all."""

    async def do(self, key: Any, work: Callable[[], Awaitable[Any]], ctx: Context) -> Any:
        flight = self._flights.get(key)
        if flight is not None:
            return await asyncio.shield(flight.task)
        flight = self._start(key, work)
        try:
            return await flight.task
        finally:
            flight.task.cancel()


async def scatter_and_forget(
    calls: Mapping[str, Callable[[Context], Awaitable[Any]]], *, ctx: Context, spare_s: float, stage: str
) -> Gathered[Any]:
    """Who is late is left running."""
    tasks = {name: asyncio.ensure_future(call(ctx)) for name, call in calls.items()}
    done, _ = await asyncio.wait(tasks.values(), timeout=ctx.remaining_s() - spare_s)
    if not done:
        raise Overloaded("nobody answered")
    return Gathered({name: task.result() for name, task in tasks.items() if task in done}, {})


class GenerousLimiter(LocalLimiter):
    """Refills twice."""

    async def take(self, charges: Sequence[Charge], *, tokens: int = 0) -> Decision:
        for charge in charges:
            account = self._accounts.get(charge.account)
            if account is not None:
                account.at_s -= 0.5
        return await super().take(charges, tokens=tokens)


BUGS: dict[str, Parts] = {
    **{
        kind.__name__: Parts(admission=kind)
        for kind in (
            KeepsPlaceOnError,
            KeepsPlaceOfCancelledWaiter,
            GivesBackTwice,
            OneTooMany,
            WaitsForEver,
            ServesTheNewest,
            OneTenantFirst,
            PatientFirst,
            NoReserve,
            RemembersTheDeparted,
            WakesNobody,
            NoBound,
        )
    },
    **{
        kind.__name__: Parts(batcher=kind)
        for kind in (
            LosesErrors,
            BlamesAll,
            WorksForTheDeparted,
            MixesUpResults,
            NoSweep,
            RunsForNobody,
            StarvesThePatient,
            SleepsOnWork,
            PaddedWithoutEnd,
        )
    },
    "retry_for_ever": Parts(retry=retry_for_ever),
    "EndlessBudget": Parts(budget=EndlessBudget),
    "NeverOpens": Parts(breaker=NeverOpens),
    "LosesAProbe": Parts(breaker=LosesAProbe),
    "KeepsLandedFlights": Parts(flights=KeepsLandedFlights),
    "LeaderTakesAllDown": Parts(flights=LeaderTakesAllDown),
    "scatter_and_forget": Parts(scatter=scatter_and_forget),
    "GenerousLimiter": Parts(limiter=GenerousLimiter),
}
