"""What waits to be batched, and which of it makes the next batch. Pure decisions; batcher.py acts on them.

    lane (one a priority)
      order   [e1 e2 e3 e4 ...]            by arrival: who is oldest
      shelf   {5: [e1 e4], 6: [e2], 7: [e3]}  by size, each a factor 2 wide: who goes well together

A batch starts from the oldest entry of the most urgent lane, takes its shelf in order, then the neighbouring shelves as
long as the padding stays under `max_padding`. Padded size counts, because padding is computed too: items x the largest.
Entries that were taken or have departed stay in the other list until they reach its head, and are skipped there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from penstock.core.context import Context, Priority

T = TypeVar("T")
R = TypeVar("R")


class Entry(Generic[T, R]):
    """One item, its caller's context, and the future that the caller waits on."""

    __slots__ = ("context", "future", "group", "item", "size", "submitted_s", "taken")

    def __init__(self, item: T, size: int, context: Context, future: asyncio.Future[R], submitted_s: float) -> None:
        self.item = item
        self.size = size
        self.context = context
        self.future = future
        self.submitted_s = submitted_s
        self.taken = False
        self.group: Group[T, R] | None = None


class Group(Generic[T, R]):
    """Entries that run together. `part` are those of them that run at this moment."""

    __slots__ = ("entries", "is_stopped", "part", "priority", "started_s", "task")

    def __init__(self, entries: Sequence[Entry[T, R]], priority: Priority, started_s: float) -> None:
        self.entries = entries
        self.part = entries
        self.is_stopped = False
        self.priority = priority
        self.started_s = started_s
        self.task: asyncio.Task[None] | None = None
        for entry in entries:
            entry.group = self

    def stop_if_over(self) -> None:
        """Cancel the run when nobody waits for any of it."""
        if self.task is not None and not self.is_stopped and all(entry.future.done() for entry in self.part):
            self.is_stopped = True
            self.task.cancel()


class Lane(Generic[T, R]):
    """The entries of one priority."""

    def __init__(self) -> None:
        self.order: deque[Entry[T, R]] = deque()
        self.shelves: dict[int, deque[Entry[T, R]]] = {}
        self._shelved = 0
        self.waiting = 0
        self.waiting_size = 0

    def add(self, entry: Entry[T, R]) -> None:
        if max(len(self.order), self._shelved) > 2 * self.waiting + 64:
            self._forget_departed()
        self._shelved += 1
        self.order.append(entry)
        shelf = entry.size.bit_length()
        found = self.shelves.get(shelf)
        if found is None:
            found = self.shelves[shelf] = deque()
        found.append(entry)
        self.waiting += 1
        self.waiting_size += entry.size

    def leave(self, entry: Entry[T, R]) -> bool:
        """Count out an entry that will not run; its places in the lists are skipped later."""
        if entry.taken:
            return False
        entry.taken = True
        self.waiting -= 1
        self.waiting_size -= entry.size
        if not self.waiting:
            # The lists hold only departed entries now: let them go at once.
            self.order.clear()
            self.shelves.clear()
            self._shelved = 0
        return True

    def oldest(self) -> Entry[T, R] | None:
        order = self.order
        while order and order[0].taken:
            order.popleft()
        return order[0] if order else None

    def take(self, *, max_items: int, max_size: int, max_padding: float) -> list[Entry[T, R]]:
        """The next batch, without departed entries. An entry over `max_size` goes alone."""
        first = self.oldest()
        if first is None:
            return []
        chosen: list[Entry[T, R]] = []
        tally = _Tally(max_items, max_size, max_padding)
        home = first.size.bit_length()
        # Outwards from the oldest entry's shelf: the shorter neighbour first, it costs the least padding.
        nearest = sorted(self.shelves, key=lambda shelf: (abs(shelf - home), shelf))
        for shelf in nearest:
            if not self._take_from(shelf, chosen, tally):
                break
        return chosen

    def _take_from(self, shelf: int, chosen: list[Entry[T, R]], tally: _Tally) -> bool:
        """Take what fits from the head of one shelf; False when the batch is full."""
        entries = self.shelves.get(shelf)
        if entries is None:  # Taking the last one has cleared all shelves.
            return False
        while entries:
            entry = entries[0]
            if not entry.taken:
                if not tally.accepts(entry.size):
                    return tally.items < tally.max_items
                chosen.append(entry)
            entries.popleft()
            self._shelved -= 1
            if not entry.taken:
                self.leave(entry)
        self.shelves.pop(shelf, None)
        return tally.items < tally.max_items

    def _forget_departed(self) -> None:
        # Callers who come and leave at once must not grow the lists of a lane that is never empty.
        self.order = deque(entry for entry in self.order if not entry.taken)
        kept = {shelf: deque(e for e in entries if not e.taken) for shelf, entries in self.shelves.items()}
        self.shelves = {shelf: entries for shelf, entries in kept.items() if entries}
        self._shelved = self.waiting


class _Tally:
    """The size of a batch in the making."""

    __slots__ = ("items", "largest", "max_items", "max_padding", "max_size", "total")

    def __init__(self, max_items: int, max_size: int, max_padding: float) -> None:
        self.max_items, self.max_size, self.max_padding = max_items, max_size, max_padding
        self.items = 0
        self.largest = 0
        self.total = 0

    def accepts(self, size: int) -> bool:
        """Whether one more of `size` fits; if so it is counted."""
        items = self.items + 1
        if items > 1:
            if items > self.max_items:
                return False
            padded = items * max(self.largest, size)
            if padded > self.max_size or padded - self.total - size > self.max_padding * padded:
                return False
        self.items = items
        self.total += size
        self.largest = max(self.largest, size)
        return True
