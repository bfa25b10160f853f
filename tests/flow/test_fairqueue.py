from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.context import Priority
from penstock.flow.fairqueue import FairQueue, Ring


@dataclass(eq=False)
class Ticket:
    tenant: str
    cost: float = 1.0
    priority: Priority = "interactive"


def test_tenants_take_turns_and_each_is_first_in_first_out() -> None:
    ring: Ring[Ticket] = Ring()
    tickets = [Ticket(tenant) for tenant in "aaabbc"]
    for ticket in tickets:
        ring.push(ticket)
    order = [ring.pop() for _ in range(6)]
    assert "".join(ticket.tenant for ticket in order) == "abcaba"
    assert [t for t in order if t.tenant == "a"] == tickets[:3]


def test_who_asks_for_more_comes_up_less_often() -> None:
    ring: Ring[Ticket] = Ring()
    for _ in range(100):
        ring.push(Ticket("heavy", cost=4.0))
        ring.push(Ticket("light", cost=1.0))
    served = Counter(ring.pop().tenant for _ in range(50))
    assert served["light"] == 40
    assert served["heavy"] == 10


def test_ahead_of_next_is_what_is_then_served_first() -> None:
    for tenants, newcomer in (("aaabbc", "a"), ("aaabbc", "b"), ("aaabbc", "d"), ("", "a")):
        ring: Ring[Ticket] = Ring()
        for tenant in tenants:
            ring.push(Ticket(tenant))
        predicted = ring.ahead_of_next(newcomer)
        mine = Ticket(newcomer)
        ring.push(mine)
        order = [ring.pop() for _ in range(len(tenants) + 1)]
        assert abs(order.index(mine) - predicted) <= 1


def test_a_removed_ticket_leaves_nothing() -> None:
    ring: Ring[Ticket] = Ring()
    one, two = Ticket("a"), Ticket("b")
    ring.push(one)
    ring.push(two)
    assert ring.remove(one)
    assert not ring.remove(one)
    assert len(ring) == 1
    assert ring.waiting_of("a") == 0
    assert ring.pop() is two


def test_who_gives_way() -> None:
    queue: FairQueue[Ticket] = FairQueue()
    assert queue.gives_way_to("a", "interactive") is None
    patient = Ticket("a", priority="ingestion")
    queue.push(patient)
    assert queue.gives_way_to("a", "interactive") is patient
    assert queue.gives_way_to("b", "ingestion") is None
    second = Ticket("a", priority="ingestion")
    queue.push(second)
    assert queue.gives_way_to("b", "ingestion") is second
    assert queue.gives_way_to("a", "ingestion") is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5)), min_size=1, max_size=60))
def test_everyone_is_served_once_and_the_backlogged_get_alike(arrivals: list[tuple[str, int]]) -> None:
    ring: Ring[Ticket] = Ring()
    for tenant, cost in arrivals:
        ring.push(Ticket(tenant, cost=float(cost)))
    left = Counter(tenant for tenant, _ in arrivals)
    always = set(left)
    cost_of: Counter[str] = Counter()
    for _ in range(len(arrivals)):
        ticket = ring.pop()
        cost_of[ticket.tenant] += int(ticket.cost)
        left[ticket.tenant] -= 1
        assert left[ticket.tenant] >= 0
        # Between two tenants that have both had something waiting all the time: no more than two largest costs apart.
        costs = [cost_of[tenant] for tenant in always if left[tenant] > 0]
        if costs:
            assert max(costs) - min(costs) <= 2 * 5 + 1
    assert len(ring) == 0
