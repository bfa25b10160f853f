"""Calls of many callers become few batches.

While a worker is free, whatever was submitted in the same turn of the loop goes at once: a lone item never waits for
company. While all are busy items gather, so batches grow with the load by themselves.

    embed = Batcher(name="embed", run=encode, size_of=token_count, max_size=2048, workers=1)
    vector = await embed.submit("a question", ctx)

`run` gets the items in the order of arrival and returns one result each; an exception in an item's place fails that
item alone. It may be called again with a part of the items after it raised, so it must not mind doing work twice.
What is promised to a caller, whatever the neighbours do:

- it hears by its deadline, or a full queue at once; nothing runs for one who left or expired before the batch was made;
- a neighbour that raises, is cancelled or is too large does not touch it: a batch that raised is halved until
  the bad item is alone. Weakness: this is paid for with more runs, at most about `9 log2(n)` a batch; a batch with
  more bad items than that allows fails good ones too. An error that speaks of the target is not halved;
- urgent lanes go first; a less urgent one that has waited for `max_wait_s` gets one batch in `FAIR_EVERY`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from penstock.core.context import MONOTONIC, Clock, Context, Priority
from penstock.core.errors import DeadlineExceeded, Overloaded, StageUnavailable, TooLarge
from penstock.flow.backlog import Entry, Group, Lane
from penstock.flow.fairqueue import URGENCY

T = TypeVar("T")
R = TypeVar("R")

FAIR_EVERY = 8
"""Of so many batches in a row at least one goes to a less urgent lane that has waited too long."""

_SMOOTHING = 0.1
_TIMER_ERROR_S = 1e-3  # uvloop's timers count milliseconds, and may come one early


class BatchReport(msgspec.Struct, frozen=True):
    """What one batch cost. `padding` is the share of its padded size that carries nothing."""

    name: str
    priority: Priority
    items: int
    size: int
    padding: float
    longest_wait_s: float
    run_s: float
    failed: int


class Batcher(Generic[T, R]):
    """See the head of this file. `max_size` bounds items x the largest `size_of` among them.

    `background_size` bounds the batches of less urgent lanes instead: an interactive call may have to wait for one.
    With two or more workers, one is kept for interactive batches.
    """

    def __init__(
        self,
        *,
        name: str,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R | BaseException]]],
        size_of: Callable[[T], int] = lambda _item: 1,
        max_items: int = 256,
        max_size: int = 1 << 30,
        background_size: int | None = None,
        max_item_size: int | None = None,
        max_padding: float = 0.25,
        max_wait_s: float = 1.0,
        max_waiting: int = 4096,
        workers: int = 1,
        observe: Callable[[BatchReport], None] | None = None,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._name = name
        self._run, self._size_of, self._observe = run, size_of, observe
        self._max_items, self._max_size = max_items, max_size
        self._background_size = background_size or max_size
        self._max_item_size = max_item_size
        self._max_padding, self._max_wait_s, self._max_waiting = max_padding, max_wait_s, max_waiting
        self._workers = workers
        self._clock = clock
        self._lanes: dict[Priority, Lane[T, R]] = {priority: Lane() for priority in URGENCY}
        self._running: set[Group[T, R]] = set()
        self._background_running = 0
        self._woken = False
        self._closed = False
        self._since_fair = 0
        self._seconds_per_item = 0.0
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_at_s = math.inf
        self._idle: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> int:
        return sum(lane.waiting for lane in self._lanes.values())

    @property
    def running(self) -> int:
        """Batches at work."""
        return len(self._running)

    def pressure(self) -> float:
        """0 idle .. 1 a full interactive lane."""
        return self._lanes["interactive"].waiting / self._max_waiting

    async def submit(self, item: T, ctx: Context) -> R:
        """The item's result. Raises Overloaded, TooLarge, DeadlineExceeded, StageUnavailable, or what `run` raised."""
        entry = self._enter(item, ctx)
        try:
            return await entry.future
        except asyncio.CancelledError:
            self._depart(entry)
            raise

    async def submit_many(self, items: Sequence[T], ctx: Context) -> list[R]:
        """The results of one caller's items, in their order. The first failure is raised, and the rest is dropped.

        Takes at most a quarter of the lane at a time, so that a long list cannot shut out its neighbours.
        """
        results: list[R] = []
        step = max(1, self._max_waiting // 4)
        for start in range(0, len(items), step):
            entries: list[Entry[T, R]] = []
            try:
                for item in items[start : start + step]:
                    entries.append(self._enter(item, ctx))  # noqa: PERF401 - what has entered must be known if one fails
                for entry in entries:
                    results.append(await entry.future)  # noqa: PERF401 - likewise
            except BaseException:
                for entry in entries:
                    self._depart(entry)
                raise
        return results

    async def stop(self) -> None:
        """Refuse new items, finish the waiting ones, return when all is quiet. Cancel this to stop at once."""
        self._closed = True
        try:
            while self._running or self.waiting:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
        finally:
            self._abandon()

    # --- entering and leaving -----------------------------------------------------

    def _enter(self, item: T, ctx: Context) -> Entry[T, R]:
        now_s = self._clock.now_s()
        if self._closed:
            raise StageUnavailable(self._name, "stopping")
        if now_s >= ctx.deadline_s:
            raise DeadlineExceeded(stage=self._name)
        size = self._size_of(item)
        if self._max_item_size is not None and size > self._max_item_size:
            raise TooLarge(f"An item of size {size} is over the limit of {self._max_item_size} of '{self._name}'.")
        lane = self._lanes[ctx.priority]
        if lane.waiting >= self._max_waiting:
            retry_after_s = max(1.0, lane.waiting * self._seconds_per_item)
            raise Overloaded(f"The queue of '{self._name}' is full.", retry_after_s=retry_after_s)
        loop = asyncio.get_running_loop()
        entry: Entry[T, R] = Entry(item, size, ctx, loop.create_future(), now_s)
        lane.add(entry)
        if not self._woken and len(self._running) < self._workers:
            self._woken = True
            loop.call_soon(self._dispatch)
        if ctx.deadline_s < self._sweep_at_s:
            self._sweep_by(ctx.deadline_s, now_s)
        return entry

    def _depart(self, entry: Entry[T, R]) -> None:
        """The caller no longer waits: take its item out, and stop a batch that nobody waits for."""
        entry.future.cancel()
        if entry.future.done() and not entry.future.cancelled():
            entry.future.exception()  # Seen: a result that came in the same turn is nobody's loss.
        self._lanes[entry.context.priority].leave(entry)
        group, entry.group = entry.group, None
        if group is not None:
            group.stop_if_over()
        self._hush()

    def _sweep_by(self, deadline_s: float, now_s: float) -> None:
        # One timer for all deadlines, moved only when an earlier one arrives: callers mostly share one timeout.
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep_at_s = deadline_s
        self._sweep = asyncio.get_running_loop().call_later(max(0.0, deadline_s - now_s), self._expire)

    def _expire(self) -> None:
        self._sweep, self._sweep_at_s = None, math.inf
        now_s = self._clock.now_s()
        earliest_s = math.inf
        for entry in [*self._waiting_entries(), *self._running_entries()]:
            if entry.future.done():
                continue
            if entry.context.deadline_s <= now_s + _TIMER_ERROR_S:
                entry.future.set_exception(DeadlineExceeded(stage=self._name))
                self._depart(entry)
            else:
                earliest_s = min(earliest_s, entry.context.deadline_s)
        if earliest_s < math.inf:
            self._sweep_by(earliest_s, now_s)

    def _waiting_entries(self) -> list[Entry[T, R]]:
        return [entry for lane in self._lanes.values() for entry in lane.order if not entry.taken]

    def _running_entries(self) -> list[Entry[T, R]]:
        return [entry for group in self._running for entry in group.entries if entry.group is group]

    # --- making batches --------------------------------------------------------------

    def _dispatch(self) -> None:
        self._woken = False
        now_s = self._clock.now_s()
        while len(self._running) < self._workers:
            priority = self._next_lane(now_s)
            if priority is None:
                break
            entries = self._take(priority, now_s)
            if entries:
                self._start(Group(entries, priority, now_s))
        self._hush()

    def _next_lane(self, now_s: float) -> Priority | None:
        waiting = [priority for priority in URGENCY if self._lanes[priority].waiting]
        if self._workers > 1 and self._background_running >= self._workers - 1:
            waiting = [priority for priority in waiting if priority == "interactive"]
        if not waiting:
            return None
        if len(waiting) > 1:
            self._since_fair += 1
            if self._since_fair >= FAIR_EVERY:
                for priority in reversed(waiting[1:]):
                    oldest = self._lanes[priority].oldest()
                    if oldest is not None and now_s - oldest.submitted_s >= self._max_wait_s:
                        self._since_fair = 0
                        return priority
        return waiting[0]

    def _take(self, priority: Priority, now_s: float) -> list[Entry[T, R]]:
        max_size = self._max_size if priority == "interactive" else self._background_size
        taken = self._lanes[priority].take(max_items=self._max_items, max_size=max_size, max_padding=self._max_padding)
        kept: list[Entry[T, R]] = []
        for entry in taken:
            if entry.future.done():
                continue
            if entry.context.deadline_s <= now_s:
                entry.future.set_exception(DeadlineExceeded(stage=self._name))
                continue
            kept.append(entry)
        return kept

    def _start(self, group: Group[T, R]) -> None:
        self._running.add(group)
        if group.priority != "interactive":
            self._background_running += 1
        group.task = asyncio.get_running_loop().create_task(self._work(group), name=f"batch:{self._name}")
        group.task.add_done_callback(lambda _task: self._finish(group))

    async def _work(self, group: Group[T, R]) -> None:
        runs_left = 1 + 8 * max(1, math.ceil(math.log2(len(group.entries) + 1)))
        pending = [list(group.entries)]
        while pending:
            part = [entry for entry in pending.pop() if not entry.future.done()]
            if not part:
                continue
            runs_left -= 1
            group.part = part
            error = await self._attempt(group, part)
            if error is None:
                continue
            if len(part) == 1 or runs_left <= 0 or not _speaks_of_an_item(error):
                for entry in part:
                    _settle(entry, error)
                continue
            middle = len(part) // 2
            pending += [part[middle:], part[:middle]]

    async def _attempt(self, group: Group[T, R], part: list[Entry[T, R]]) -> BaseException | None:
        """Run a part and hand out its results; what it raised, if it did."""
        try:
            results = await self._run([entry.item for entry in part])
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                if not group.is_stopped:
                    raise
                # Only this part has lost its callers; the others of a batch that was halved go on.
                group.is_stopped = False
                task.uncancel()
                return None
            # An item's own cancellation inside `run` must not read as ours, or as the neighbours'.
            return RuntimeError(f"'{self._name}' was cancelled from inside")
        except Exception as error:  # noqa: BLE001 - it is handed to the callers whose items these are
            return error
        if len(results) != len(part):
            return StageUnavailable(self._name, f"{len(results)} results for {len(part)} items")
        for entry, result in zip(part, results, strict=True):
            _settle(entry, result)
        return None

    def _finish(self, group: Group[T, R]) -> None:
        self._running.discard(group)
        if group.priority != "interactive":
            self._background_running -= 1
        failed = 0
        for entry in group.entries:
            entry.group = None
            if not entry.future.done():
                entry.future.set_exception(StageUnavailable(self._name, "stopped"))
            # A departed caller's future is cancelled; asking it for its exception would raise.
            failed += entry.future.cancelled() or entry.future.exception() is not None
        if not self._woken and self.waiting:
            # After the callers of this batch were woken: what they submit next may join.
            self._woken = True
            asyncio.get_running_loop().call_soon(self._dispatch)
        self._hush()
        self._report(group, failed)

    def _report(self, group: Group[T, R], failed: int) -> None:
        items = len(group.entries)
        run_s = self._clock.now_s() - group.started_s
        self._seconds_per_item += (run_s / items / self._workers - self._seconds_per_item) * _SMOOTHING
        if self._observe is None:
            return
        sizes = [entry.size for entry in group.entries]
        padded = items * max(sizes)
        self._observe(
            BatchReport(
                self._name,
                group.priority,
                items,
                sum(sizes),
                1 - sum(sizes) / padded if padded else 0.0,
                group.started_s - min(entry.submitted_s for entry in group.entries),
                run_s,
                failed,
            )
        )

    # --- the end -----------------------------------------------------------------------

    def _hush(self) -> None:
        """Tell `stop` when nothing runs or waits."""
        if self._idle is not None and not self._idle.done() and not self._running and not self.waiting:
            self._idle.set_result(None)

    def _abandon(self) -> None:
        for entry in self._waiting_entries():
            if not entry.future.done():
                entry.future.set_exception(StageUnavailable(self._name, "stopped"))
            self._depart(entry)
        for group in self._running:
            if group.task is not None:
                group.task.cancel()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None


def _settle(entry: Entry[T, R], outcome: R | BaseException) -> None:
    """Complete a future once, and only if its caller still waits."""
    if entry.future.done():
        return
    if isinstance(outcome, BaseException):
        entry.future.set_exception(outcome)
    else:
        entry.future.set_result(outcome)


def _speaks_of_an_item(error: BaseException) -> bool:
    """Whether running fewer items may help. A target that is down or full stays so for each half."""
    return not isinstance(error, Overloaded | StageUnavailable | DeadlineExceeded | ConnectionError | TimeoutError)
