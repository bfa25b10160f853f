"""One decision at a door: come in now, wait a short while, or go and come back later.

    door = Admission(name="door", limit=AdaptiveLimit(floor_s=0.05))
    async with door.admit(ctx):
        ...                       # at most `limit` at once are here

Who waits stands in a fair queue (fairqueue.py), and only as long as it makes sense: a caller is refused at once when
the predicted wait is over what its priority allows, or when its deadline could not be met after it; and it leaves the
queue when that moment comes. Predictions: `wait = those ahead x mean service time / limit` (Little's law) and the
median service time, or `service_s` where the caller knows better. While there is a queue, those who come in keep a
pace (pace.py).

Less urgent work never takes the last places: `reserve` of the limit stays free for interactive callers, and twice that
from ingestion. Use further instances for each stage or engine that has its own capacity.

Weakness: the median is wrong for half of the callers by definition; a mixed load should name `service_s`.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Literal, Self

from penstock.core.context import MONOTONIC, Clock, Context, Priority
from penstock.core.errors import DeadlineExceeded, Overloaded, RateLimited
from penstock.flow.estimate import Durations
from penstock.flow.fairqueue import URGENCY, FairQueue
from penstock.flow.limit import Limit
from penstock.flow.pace import Pace

_TIMER_ERROR_S = 1e-6
_MAX_RETRY_AFTER_S = 60
_OVERTIME = 2.0
_PACED_PLACES = 4
"""With fewer, one place's turn is longer than an interactive caller waits."""


class Permit:
    """A place inside, as a context manager. It is given back when the block ends, and once only.

    `async with permit` is the same as `if not permit.comes_in(): await permit.wait()` and then `with permit`, which
    costs somebody who need not wait a third of it.
    """

    __slots__ = (
        "_admission",
        "_began_s",
        "_beside",
        "_context",
        "_state",
        "_timer",
        "_told",
        "cost",
        "future",
        "latest_s",
        "priority",
        "service_s",
        "tenant",
    )

    def __init__(self, admission: Admission, context: Context, cost: float, service_s: float | None) -> None:
        self._admission = admission
        self._context = context
        self._state: Literal["new", "waiting", "held", "over"] = "new"
        self._began_s = 0.0
        self._beside = 0
        self._timer: asyncio.TimerHandle | None = None
        self._told = False
        self.cost = cost
        self.service_s = service_s
        self.tenant = context.principal.tenant
        self.priority: Priority = context.priority
        self.future: asyncio.Future[None] | None = None
        self.latest_s = math.inf

    @property
    def is_held(self) -> bool:
        return self._state == "held"

    def comes_in(self) -> bool:
        """Take a place, or one in the queue (False): then `wait`. Nothing may be awaited before `with` or `wait`.

        Raises Overloaded, RateLimited or DeadlineExceeded, and then nothing is held.
        """
        if self._state != "new":
            raise RuntimeError("A permit is used once; ask for another with admit().")
        now_s = self._admission.clock.now_s()
        if self._admission.comes_in(self, now_s):
            self.hold(now_s)
            return True
        loop = asyncio.get_running_loop()
        self.future = loop.create_future()
        self._state = "waiting"
        self._timer = loop.call_later(max(0.0, self.latest_s - now_s), self._admission.expire, self)
        return False

    async def wait(self) -> None:
        """For one's turn, in the queue. Raises as `comes_in` does."""
        assert self.future is not None, "who waits stands in the queue"
        assert self._timer is not None, "and not for ever"
        try:
            await self.future
        except BaseException:
            self._abandon_wait()
            raise
        finally:
            self._timer.cancel()
            self.future = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back(error)

    async def __aenter__(self) -> Self:
        if not self.comes_in():
            await self.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back(error)

    def _abandon_wait(self) -> None:
        was_given, self._state = self._state == "held", "over"
        if was_given:
            # The place came in the same turn in which the caller was cancelled.
            self._admission.give_back(self.priority, None)
            return
        self._admission.forget(self)
        if self.future is not None and self.future.done() and not self.future.cancelled():
            self.future.exception()  # Seen: a refusal that came in the same turn is nobody's loss.

    def responded(self) -> None:
        """The work has begun to answer: the limit follows the time until now, and not how long the answer is."""
        if self._state == "held" and not self._told:
            self._told = True
            admission = self._admission
            admission.limit.observe(admission.clock.now_s() - self._began_s, self._beside)

    def give_back(self, error: BaseException | None = None) -> None:
        """Leave before the block ends, for example when a stream's last byte is out. Later calls do nothing."""
        if self._state != "held":
            return
        if error is None:
            self.responded()
        self._state = "over"
        admission = self._admission
        if error is None:
            admission.give_back(self.priority, admission.clock.now_s() - self._began_s)
        else:
            if isinstance(error, DeadlineExceeded | TimeoutError):
                admission.limit.dropped()
            admission.give_back(self.priority, None)

    def hold(self, now_s: float) -> None:
        """The admission's business: the place is this permit's from `now_s`."""
        self._state = "held"
        self._began_s = now_s
        self._beside = self._admission.in_flight
        if self.future is not None:
            self.future.set_result(None)

    def refuse(self, error: Exception) -> None:
        """The admission's business: the wait is over without a place."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)


class Admission:
    """See the head of this file.

    An interactive caller may wait for `wait_share` of the median service time or `shortest_wait_s`, whichever is more,
    and for twice that share while there is less urgent work. That is what is predicted; who was let into the queue
    waits for twice the share before he is sent away, since predictions err. Batch and ingestion have patience:
    `patience_s`. All wait at most `max_waiting` together.
    """

    def __init__(
        self,
        *,
        name: str,
        limit: Limit,
        max_waiting: int = 256,
        wait_share: float = 0.25,
        shortest_wait_s: float = 0.02,
        patience_s: float = 10.0,
        reserve: float = 0.25,
        clock: Clock = MONOTONIC,
    ) -> None:
        self.name = name
        self.limit = limit
        self.clock = clock
        self.service = Durations(clock=clock)
        self._max_waiting = max_waiting
        self._wait_share, self._shortest_wait_s, self._patience_s = wait_share, shortest_wait_s, patience_s
        self._reserves: dict[Priority, float] = {"interactive": 0.0, "batch": reserve, "ingestion": 2 * reserve}
        self._queue: FairQueue[Permit] = FairQueue()
        self._in_flight = self._patient = 0
        self._pace = Pace()

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def is_paced(self) -> bool:
        """Whether those who wait come in a moment, though there are places: one after another (pace.py)."""
        return self._pace.is_kept

    def pressure(self) -> float:
        """0 idle, 1 every place taken; above 1 with those who wait."""
        return (self._in_flight + len(self._queue)) / max(1, self.limit.value)

    def admit(self, ctx: Context, *, cost: float = 1.0, service_s: float | None = None) -> Permit:
        """A permit for `async with`. `cost` weighs in the tenant's turn; `service_s` is what the work will take."""
        return Permit(self, ctx, cost, service_s)

    def retry_after_s(self) -> int:
        """Whole seconds until those who wait now will have been served."""
        rate = self._places(URGENCY[0]) / max(self.service.mean(), 1e-3)
        return max(1, min(_MAX_RETRY_AFTER_S, math.ceil((len(self._queue) + 1) / rate - 1e-3)))

    # --- what a permit asks ------------------------------------------------------------

    def comes_in(self, permit: Permit, now_s: float) -> bool:
        """Take a place, or stand in the queue (False). Raises when neither makes sense."""
        context = permit._context  # noqa: SLF001 - a permit is this class's own record
        if now_s >= context.deadline_s:
            raise DeadlineExceeded(stage=self.name)
        if self.has_room(permit.priority):
            if self._pace.lets_in(now_s, self._gap_s()):
                self._take(permit.priority)
                return True
        else:
            self._pace.was_full(now_s, self.service.mean())
        permit.latest_s = self._latest(permit.tenant, permit.priority, context.deadline_s, permit.service_s, now_s)
        if len(self._queue) >= self._max_waiting:
            other = self._queue.gives_way_to(permit.tenant, permit.priority)
            assert other is not None, "_latest has refused"
            self._queue.remove(other)
            other.refuse(RateLimited("Others wait too.", retry_after_s=self.retry_after_s()))
        self._queue.push(permit)
        self._pace.call_later(now_s, self._serve)
        return False

    def give_back(self, priority: Priority, duration_s: float | None) -> None:
        """A place is free. `duration_s` is None for work that did not succeed: it says nothing of the service."""
        if duration_s is not None:
            self.service.observe(duration_s)
        self._in_flight -= 1
        self._patient -= priority != "interactive"
        if len(self._queue):
            self._serve()

    def forget(self, permit: Permit) -> None:
        """The caller no longer waits."""
        if self._queue.remove(permit):
            self._serve()

    def expire(self, permit: Permit) -> None:
        """The moment after which waiting makes no sense has come."""
        if self._queue.remove(permit):
            permit.refuse(self._refusal("No place came free in time."))

    # --- decisions -----------------------------------------------------------------------

    def has_room(self, priority: Priority) -> bool:
        """Whether one of `priority` would come in at once."""
        if self._in_flight >= self._places(priority):
            return False
        return not len(self._queue) or not self._is_outranked(priority)

    def check(self, tenant: str, priority: Priority, *, deadline_s: float) -> None:
        """Raise what `admit` would raise now: to refuse somebody before his request has been read."""
        if not self.has_room(priority):
            self._latest(tenant, priority, deadline_s, None, self.clock.now_s())

    def _latest(
        self, tenant: str, priority: Priority, deadline_s: float, service_s: float | None, now_s: float
    ) -> float:
        """Until when it makes sense to wait. Raises Overloaded when it does not even begin to."""
        if service_s is None:
            service_s = self.service.quantile(0.5)
        in_time_s = deadline_s - service_s
        ahead = self._queue.ahead_of_next(tenant, priority)
        places = self._places(priority)
        has_place = self._in_flight + ahead < places  # which the pace will let him have
        predicted_s = now_s + (ahead + 1) * self.service.mean() / places
        if not has_place and predicted_s > min(now_s + self._longest_wait(priority), in_time_s):
            raise self._refusal("The wait would be too long.")
        if len(self._queue) >= self._max_waiting and self._queue.gives_way_to(tenant, priority) is None:
            raise self._refusal("The queue is full.")
        return min(now_s + self._longest_wait(priority, of_usual=_OVERTIME), in_time_s)

    def _places(self, priority: Priority) -> int:
        """How many may be inside for one of `priority` to come in too. At least one, or it would never run."""
        limit = self.limit.value
        if priority == "interactive":
            return limit or 1
        return max(1, limit - math.ceil(limit * self._reserves[priority]))

    def _take(self, priority: Priority) -> None:
        self._in_flight += 1
        self._patient += priority != "interactive"

    def _is_outranked(self, priority: Priority) -> bool:
        """Whether someone waits who would have to be served first."""
        for other in URGENCY:
            if len(self._queue.rings[other]):
                return True
            if other == priority:
                break
        return False

    def _longest_wait(self, priority: Priority, *, of_usual: float = 1.0) -> float:
        if priority != "interactive":
            return self._patience_s
        # Where there is less urgent work it is that which has to go.
        has_patient = self._patient or len(self._queue) > len(self._queue.rings["interactive"])
        share = of_usual * self._wait_share * (2 if has_patient else 1)
        return max(self._shortest_wait_s, share * self.service.quantile(0.5))

    def _serve(self) -> None:
        """Give free places to those who wait."""
        now_s, gap_s = self.clock.now_s(), self._gap_s()
        for priority in URGENCY:
            ring = self._queue.rings[priority]
            while len(ring) and self._in_flight < self._places(priority):
                if not self._pace.lets_in(now_s, gap_s):
                    self._pace.call_later(now_s, self._serve)
                    return
                permit = ring.pop()
                if permit.future is None or permit.future.done():
                    continue
                if permit.latest_s + _TIMER_ERROR_S < now_s:
                    permit.refuse(self._refusal("No place came free in time."))
                    continue
                self._take(priority)
                permit.hold(now_s)
            if len(ring):
                # Less urgent ones have fewer places still.
                return

    def _gap_s(self) -> float:
        """Between two who leave, in the mean, while it is full."""
        places = self.limit.value
        return self.service.mean() / places if places >= _PACED_PLACES else 0.0

    def _refusal(self, why: str) -> Overloaded:
        return Overloaded(f"'{self.name}' is full. {why}", retry_after_s=self.retry_after_s())
