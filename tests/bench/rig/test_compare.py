"""A against B, and the search for capacity: decisions and sums."""

from __future__ import annotations

import pytest

from penstock.bench.capacity import CapacitySearch
from penstock.bench.compare import compared, middle, order, ratios
from tests.bench.rig.samples import trial_of


def test_an_a_stands_on_either_side_of_each_b() -> None:
    assert order(1) == "ABA"
    assert order(3) == "ABABABA"


def test_each_b_is_held_against_the_mean_of_its_neighbours() -> None:
    found = compared(50, "latency p99 ms", "ABABA", [10, 6, 20, 8, 30])

    assert found.a == middle([10, 20, 30])
    assert found.b.median == 7
    assert found.ratio.low == pytest.approx(8 / 25)
    assert found.ratio.high == pytest.approx(6 / 15)
    assert (found.noise.low, found.noise.high) == (0.5, 1.5)
    assert found.shown


def test_a_difference_within_the_noise_is_not_shown() -> None:
    assert not compared(50, "p99", "ABABA", [10, 9, 12, 13, 10]).shown
    assert compared(50, "p99", "ABABA", [10, 20, 10, 21, 11]).shown


def test_a_drifting_machine_does_not_make_a_difference() -> None:
    drifting = compared(50, "p50", "ABABABA", [10, 11, 12, 13, 14, 15, 16])

    assert drifting.ratio.median == pytest.approx(1.0)


def test_trials_become_a_table_by_rate_and_figure() -> None:
    trials = [
        trial_of(label, rate, latency_ms)
        for label, latency_ms in zip("ABA", (20.0, 10.0, 20.0), strict=True)
        for rate in (10.0, 20.0)
    ]

    table = {(ratio.rate, ratio.figure): ratio for ratio in ratios(trials)}

    assert table[20.0, "latency p99 ms"].ratio.median == pytest.approx(0.5, abs=0.01)
    assert table[10.0, "embed p50 ms"].ratio.median == pytest.approx(0.5, abs=0.01)
    assert table[10.0, "CPU ms per answer"].ratio.median == pytest.approx(1.0, abs=0.01)
    assert (10.0, "first token p50 ms") not in table, "nothing was streamed"


@pytest.mark.parametrize("capacity", [0.7, 3.0, 10.0, 137.0, 5000.0])
def test_the_search_ends_close_to_the_capacity(capacity: float) -> None:
    search = CapacitySearch(first_rate=10)
    while (rate := search.next_rate) is not None:
        search.tell(carried=rate <= capacity)

    assert search.carried <= capacity < search.refused
    assert search.refused / search.carried <= 1.1


def test_the_search_gives_up_on_a_server_that_carries_nothing_or_everything() -> None:
    nothing = CapacitySearch(first_rate=10)
    while nothing.next_rate is not None:
        nothing.tell(carried=False)
    everything = CapacitySearch(first_rate=10, highest_rate=1000)
    while everything.next_rate is not None:
        everything.tell(carried=True)

    assert nothing.carried == 0
    assert everything.refused == 0
    assert everything.carried >= 1000
