"""What must hold at every moment, checked from outside: the watch keeps its own books and compares."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field

from penstock.core.context import Context, Priority
from penstock.flow.admission import Admission
from penstock.flow.batcher import FAIR_EVERY, Batcher
from penstock.flow.fairqueue import URGENCY
from tests.simulation.loop import VirtualLoop

SLACK_S = 1e-5
"""Things of one moment are this close: a turn of the loop takes a nanosecond."""


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(eq=False)
class Caller:
    """One client and its request."""

    number: int
    tenant: str
    priority: Priority
    size: int
    text: str
    poison: bool
    deadline_s: float
    left_s: float = math.inf
    outcome: str = ""
    tries: int = 0


@dataclass(eq=False)
class Item:
    """What a batcher is given."""

    caller: Caller
    context: Context
    size: int
    poison: bool
    left_s: float = math.inf
    started: bool = False
    since_s: float = 0.0
    passengers: list[Caller] = field(default_factory=list)

    @property
    def is_wanted(self) -> bool:
        return self.left_s == math.inf


@dataclass(eq=False)
class Wait:
    """Someone at a door."""

    caller: Caller
    since_s: float
    own_ahead: int
    passed: Counter[str] = field(default_factory=Counter)


class Watch:
    """The books: the trace, who is where, and what was counted."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.callers: list[Caller] = []
        self.doors: list[DoorBook] = []
        self.batchers: list[BatcherBook] = []
        self.seen: Counter[str] = Counter()
        self.broken: Broken | None = None
        self._trace = hashlib.sha256()

    def log(self, event: str, number: int | str = "") -> None:
        self.seen[event] += 1
        self._trace.update(f"{self.loop.time():.6f} {event} {number}\n".encode())

    @property
    def trace(self) -> str:
        return self._trace.hexdigest()

    def hold(self, true: object, what: str) -> None:
        if not true and self.broken is None:
            # Kept, not only raised: raised inside a batch it would be taken for the batch's own error.
            self.broken = Broken(f"{what} (at {self.loop.time():.6f} s)")
        if self.broken is not None:
            raise self.broken

    def at_rest(self) -> None:
        """Called before each jump of the clock."""
        now_s = self.loop.time()
        for caller in self.callers:
            if not caller.outcome:
                self.hold(now_s <= caller.deadline_s + SLACK_S, f"caller {caller.number} waits past its deadline")
                self.hold(now_s <= caller.left_s + SLACK_S, f"caller {caller.number} has left and is still served")
        for door in self.doors:
            door.at_rest()
        for batcher in self.batchers:
            batcher.at_rest()


class DoorBook:
    """Who waits at and who is inside one Admission."""

    def __init__(self, watch: Watch, door: Admission, *, reserve: float, max_waiting: int) -> None:
        self._watch, self._door = watch, door
        self._reserve, self._max_waiting = reserve, max_waiting
        self.waiting: dict[Caller, Wait] = {}
        self.inside: dict[Caller, Priority] = {}
        self._overtaken: list[Wait] = []
        self._highest = 0
        watch.doors.append(self)

    def places(self, priority: Priority) -> int:
        limit = self._door.limit.value
        share = self._reserve * URGENCY.index(priority)
        return max(1, limit - math.ceil(limit * share))

    def arrives(self, caller: Caller) -> None:
        own = [w for w in self.waiting.values() if w.caller.tenant == caller.tenant]
        ahead = sum(w.caller.priority == caller.priority for w in own)
        self.waiting[caller] = Wait(caller, self._watch.loop.time(), ahead)
        self._highest = max(self._highest, self._door.limit.value)

    def enters(self, caller: Caller) -> None:
        now_s = self._watch.loop.time()
        mine = self.waiting.pop(caller)
        self.inside[caller] = caller.priority
        self._highest = max(self._highest, self._door.limit.value)
        self._watch.hold(len(self.inside) <= self._highest, f"{len(self.inside)} inside of {self._highest}")
        if caller.priority != "interactive":
            most = max(1, self._highest - math.ceil(self._highest * self._reserve))
            self._watch.hold(len(self.inside) <= most, f"{caller.priority} takes a place kept for interactive")
        self._watch.hold(now_s <= caller.deadline_s + SLACK_S, "came in after its deadline")
        rank = URGENCY.index(caller.priority)
        for wait in self.waiting.values():
            if wait.since_s >= now_s - SLACK_S or wait.caller.left_s <= now_s + SLACK_S:
                continue
            other_rank = URGENCY.index(wait.caller.priority)
            if other_rank < rank:
                self._overtaken.append(wait)
            elif other_rank == rank:
                self._passes(wait, mine)

    def _passes(self, wait: Wait, other: Wait) -> None:
        if other.caller.tenant == wait.caller.tenant:
            if other.since_s > wait.since_s + SLACK_S:
                self._overtaken.append(wait)
            return
        wait.passed[other.caller.tenant] += 1
        fair = wait.passed[other.caller.tenant] <= wait.own_ahead + 2
        self._watch.hold(fair, f"tenant {other.caller.tenant} is served again and again before {wait.caller.tenant}")

    def gone(self, caller: Caller) -> None:
        self.waiting.pop(caller, None)
        self.inside.pop(caller, None)

    def refused(self, caller: Caller) -> None:
        """A refusal at the very moment of arrival must have had a reason."""
        wait = self.waiting[caller]
        if wait.since_s == self._watch.loop.time():
            others = len(self.waiting) - 1
            is_full = len(self.inside) + others >= self.places(caller.priority)
            self._watch.hold(is_full or self._door.is_paced, f"{caller.number} refused at an open door")

    def at_rest(self) -> None:
        watch, door = self._watch, self._door
        watch.hold(
            door.in_flight == len(self.inside), f"{door.name}: {door.in_flight} counted, {len(self.inside)} inside"
        )
        watch.hold(
            door.waiting == len(self.waiting), f"{door.name}: {door.waiting} counted, {len(self.waiting)} waiting"
        )
        watch.hold(door.waiting <= self._max_waiting, f"{door.name}: {door.waiting} waiting")
        for priority in URGENCY:
            if any(wait.caller.priority == priority for wait in self.waiting.values()):
                busy = len(self.inside) >= self.places(priority) or door.is_paced
                watch.hold(busy, f"{door.name}: {priority} waits at an open door")
                break
        for wait in self._overtaken:
            watch.hold(self.waiting.get(wait.caller) is not wait, f"{door.name}: {wait.caller.number} was overtaken")
        self._overtaken.clear()


class BatcherBook:
    """What waits for and runs in one Batcher."""

    def __init__(
        self,
        watch: Watch,
        batcher: Batcher[Item, str],
        *,
        name: str,
        workers: int,
        max_items: int,
        max_size: int,
        max_waiting: int,
        max_wait_s: float,
    ) -> None:
        self._watch, self._batcher, self.name = watch, batcher, name
        self._workers, self._max_items, self._max_size = workers, max_items, max_size
        self._max_waiting, self._max_wait_s = max_waiting, max_wait_s
        self.waiting: dict[Item, None] = {}
        self.running: list[list[Item]] = []
        self._started: dict[Item, None] = {}
        self._unfair = 0
        watch.batchers.append(self)

    def submits(self, item: Item) -> None:
        item.since_s = self._watch.loop.time()
        self.waiting[item] = None

    def gone(self, item: Item) -> None:
        item.left_s = self._watch.loop.time()
        self.waiting.pop(item, None)
        self._started.pop(item, None)

    def starts(self, items: list[Item]) -> None:
        watch, now_s = self._watch, self._watch.loop.time()
        self.running.append(items)
        watch.hold(len(self.running) <= self._workers, f"{self.name}: {len(self.running)} batches at once")
        watch.hold(len(items) <= self._max_items, f"{self.name}: {len(items)} items")
        padded = len(items) * max(item.size for item in items)
        watch.hold(len(items) == 1 or padded <= self._max_size, f"{self.name}: a batch of {padded}")
        is_first_run = not any(item.started for item in items)
        priority = items[0].caller.priority
        for item in items:
            self.waiting.pop(item, None)
            item.started = True
            self._started[item] = None
            watch.hold(item.left_s >= now_s - SLACK_S, f"{self.name}: work for a caller who left")
            watch.hold(item.context.deadline_s >= now_s - SLACK_S, f"{self.name}: work for a caller whose time is up")
            watch.hold(item.caller.priority == priority, f"{self.name}: urgent and patient in one batch")
        if is_first_run:
            self._fair(priority, now_s)

    def _fair(self, priority: Priority, now_s: float) -> None:
        rank = URGENCY.index(priority)
        waited = [i for i in self.waiting if i.is_wanted and i.since_s < now_s - SLACK_S]
        patient = [i for i in waited if URGENCY.index(i.caller.priority) > rank]
        urgent = [i for i in waited if URGENCY.index(i.caller.priority) < rank]
        if any(now_s - i.since_s > self._max_wait_s + SLACK_S for i in patient) and self._workers == 1:
            self._unfair += 1
            self._watch.hold(self._unfair <= FAIR_EVERY, f"{self.name}: patient work starves")
        elif rank:
            self._unfair = 0
        if urgent:
            self._watch.log("fair turn")
            oldest_s = max(now_s - i.since_s for i in self.running[-1])
            self._watch.hold(oldest_s >= self._max_wait_s - SLACK_S, f"{self.name}: patient work goes before urgent")

    def ends(self, items: list[Item]) -> None:
        self.running.remove(items)

    def at_rest(self) -> None:
        watch = self._watch
        for items in self.running:
            watch.hold(any(item.is_wanted for item in items), f"{self.name}: a batch runs for nobody")
        # While one part of a batch that failed runs, its other parts wait for their turn.
        watch.hold(self.running or not self._started, f"{self.name}: {len(self._started)} items are lost")
        for priority in URGENCY:
            count = sum(item.caller.priority == priority for item in self.waiting)
            watch.hold(count <= self._max_waiting, f"{self.name}: {count} waiting")
        watch.hold(self._batcher.waiting == len(self.waiting), f"{self.name}: {self._batcher.waiting} counted waiting")
        urgent = any(item.caller.priority == "interactive" for item in self.waiting)
        if urgent or (self.waiting and self._workers == 1):
            watch.hold(len(self.running) >= self._workers, f"{self.name}: items wait while a worker is free")
