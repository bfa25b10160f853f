"""Who is next: urgent before patient, and within one urgency each tenant in its turn.

Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995): tenants stand in a ring; each turn adds a quantum to a
tenant's credit, and it may send what the credit covers. One that leaves nothing behind loses its place and its credit,
so a caller who has gone leaves no trace. Cost is in the caller's unit, 1 for "a request".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from penstock.core.context import Priority

URGENCY: tuple[Priority, ...] = ("interactive", "batch", "ingestion")
"""Most urgent first."""


class Ticket(Protocol):
    """What stands in the queue."""

    @property
    def tenant(self) -> str: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def cost(self) -> float: ...


W = TypeVar("W", bound=Ticket)


class _Turn(Generic[W]):
    """One tenant's place in the ring."""

    __slots__ = ("credit", "tickets")

    def __init__(self) -> None:
        self.tickets: OrderedDict[W, None] = OrderedDict()
        self.credit = 0.0


class Ring(Generic[W]):
    """The waiting of one priority, fair between tenants."""

    def __init__(self, *, quantum: float = 1.0) -> None:
        self._quantum = quantum
        self._turns: OrderedDict[str, _Turn[W]] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[W]:
        for turn in self._turns.values():
            yield from turn.tickets

    def waiting_of(self, tenant: str) -> int:
        turn = self._turns.get(tenant)
        return len(turn.tickets) if turn else 0

    def ahead_of_next(self, tenant: str) -> int:
        """How many are served before one more ticket of `tenant`, at equal costs."""
        own = self.waiting_of(tenant)
        return sum(min(len(turn.tickets), own + 1) for turn in self._turns.values() if turn.tickets) - (1 if own else 0)

    def push(self, ticket: W) -> None:
        turn = self._turns.get(ticket.tenant)
        if turn is None:
            turn = self._turns[ticket.tenant] = _Turn()
        turn.tickets[ticket] = None
        self.size += 1

    def remove(self, ticket: W) -> bool:
        """Take out a ticket that will not be served; False when it is not here."""
        turn = self._turns.get(ticket.tenant)
        if turn is None or ticket not in turn.tickets:
            return False
        del turn.tickets[ticket]
        self.size -= 1
        if not turn.tickets:
            del self._turns[ticket.tenant]
        return True

    def pop(self) -> W:
        """The next ticket; the ring must not be empty."""
        while True:
            tenant, turn = next(iter(self._turns.items()))
            ticket = next(iter(turn.tickets))
            if turn.credit < ticket.cost and len(self._turns) > 1:
                turn.credit += self._quantum
                if turn.credit < ticket.cost:
                    self._turns.move_to_end(tenant)
                    continue
            turn.credit = max(0.0, turn.credit - ticket.cost)
            self.remove(ticket)
            if turn.tickets and turn.credit < next(iter(turn.tickets)).cost:
                self._turns.move_to_end(tenant)
            return ticket

    def newest_of_longest(self) -> W | None:
        """The last ticket of the tenant with the most: who gives way when the queue is full."""
        if not self._turns:
            return None
        longest = max(self._turns.values(), key=lambda turn: len(turn.tickets))
        return next(reversed(longest.tickets))


class FairQueue(Generic[W]):
    """A ring for each priority."""

    def __init__(self) -> None:
        self.rings: dict[Priority, Ring[W]] = {priority: Ring() for priority in URGENCY}
        self._all = tuple(self.rings.values())

    def __len__(self) -> int:
        first, second, third = self._all
        return first.size + second.size + third.size

    def __iter__(self) -> Iterator[W]:
        for ring in self.rings.values():
            yield from ring

    def ahead_of_next(self, tenant: str, priority: Priority) -> int:
        """How many are served before one more ticket, if nobody else comes."""
        more_urgent = URGENCY[: URGENCY.index(priority)]
        return sum(len(self.rings[p]) for p in more_urgent) + self.rings[priority].ahead_of_next(tenant)

    def push(self, ticket: W) -> None:
        self.rings[ticket.priority].push(ticket)

    def remove(self, ticket: W) -> bool:
        return self.rings[ticket.priority].remove(ticket)

    def gives_way_to(self, tenant: str, priority: Priority) -> W | None:
        """Whom a newcomer may push out of a full queue: someone less urgent, or of a tenant with more waiting."""
        for other in reversed(URGENCY):
            ring = self.rings[other]
            candidate = ring.newest_of_longest()
            if other == priority:
                if candidate is None or ring.waiting_of(candidate.tenant) <= ring.waiting_of(tenant) + 1:
                    return None
                return candidate
            if candidate is not None:
                return candidate
        return None
