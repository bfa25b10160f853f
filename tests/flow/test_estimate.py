from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.flow.estimate import ERROR, Durations
from tests.flow.callers import HandClock


@given(st.lists(st.floats(2e-5, 900.0), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_within_the_stated_error(values: list[float], share: float) -> None:
    durations = Durations(clock=HandClock())
    for value in values:
        durations.observe(value)
    durations._cached.clear()  # the cache may lag by a sixteenth, which is stated too
    exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    assert durations.quantile(share) == pytest.approx(exact, rel=ERROR * 1.01)


def test_what_is_outside_the_range_is_clamped() -> None:
    durations = Durations(clock=HandClock())
    durations.observe(0.0)
    assert durations.quantile(0.5) == pytest.approx(1e-5)
    durations.observe(1e9)
    assert 900 < durations.quantile(1.0) < 1200


def test_before_the_first_observation_the_default_counts() -> None:
    durations = Durations(clock=HandClock())
    assert durations.quantile(0.5, default=7.0) == 7.0
    assert durations.mean(default=7.0) == 7.0


def test_the_old_is_forgotten() -> None:
    clock = HandClock()
    durations = Durations(half_life_s=30.0, clock=clock)
    for _ in range(1000):
        durations.observe(1.0)
    clock.seconds += 300.0
    for _ in range(10):
        durations.observe(3.0)
    assert durations.quantile(0.5) == pytest.approx(3.0, rel=0.06)
    assert 2.0 < durations.mean() < 3.0


def test_years_do_not_overflow() -> None:
    clock, rng = HandClock(), random.Random(1)
    durations = Durations(half_life_s=1.0, clock=clock)
    for _ in range(2000):
        clock.seconds += rng.expovariate(1 / 1000.0)
        durations.observe(2.0)
    assert durations.quantile(0.5) == pytest.approx(2.0, rel=0.06)
    assert durations.mean() == pytest.approx(2.0)
