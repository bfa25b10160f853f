"""What every RateLimiter does, in process and in a real Redis."""

from __future__ import annotations

import random

import pytest

from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import Charge, Quota, RateLimiter
from tests.flow.callers import HandClock


def charge(account: str = "{acme}", **quota: float) -> Charge:
    return Charge(account=account, quota=Quota(**quota))  # type: ignore[arg-type]


async def test_the_burst_passes_then_the_rate(limiter: RateLimiter, clock: HandClock) -> None:
    charges = [charge(requests_per_minute=60.0, burst_s=3.0)]
    assert [(await limiter.take(charges)).allowed for _ in range(5)] == [True, True, True, False, False]
    clock.seconds += 1.0
    assert [(await limiter.take(charges)).allowed for _ in range(2)] == [True, False]
    clock.seconds += 3600.0
    assert [(await limiter.take(charges)).allowed for _ in range(4)] == [True, True, True, False]


async def test_a_refusal_says_when_to_come_back_and_then_it_passes(limiter: RateLimiter, clock: HandClock) -> None:
    charges = [charge(requests_per_minute=30.0, burst_s=0.0)]
    assert (await limiter.take(charges)).allowed
    clock.seconds += 0.5
    refused = await limiter.take(charges)
    assert not refused.allowed
    assert refused.retry_after_s == pytest.approx(1.5, abs=0.01)
    assert refused.refusal().retry_after_s == refused.retry_after_s
    clock.seconds += 1.5
    assert (await limiter.take(charges)).allowed


async def test_over_a_minute_ten_times_the_load_gets_the_quota(limiter: RateLimiter, clock: HandClock) -> None:
    charges = [charge(requests_per_minute=600.0)]
    passed = 0
    for _ in range(6000):
        clock.seconds += 0.01
        passed += (await limiter.take(charges)).allowed
    assert 0.90 * 600 <= passed <= 1.05 * 600


async def test_tokens_are_taken_estimated_and_settled(limiter: RateLimiter, clock: HandClock) -> None:
    charges = [charge(tokens_per_minute=6000.0, burst_s=10.0)]
    assert (await limiter.take(charges, tokens=600)).allowed
    assert not (await limiter.take(charges, tokens=600)).allowed
    await limiter.settle(charges, tokens=-600)
    assert (await limiter.take(charges, tokens=600)).allowed
    await limiter.settle(charges, tokens=1000)
    refused = await limiter.take(charges, tokens=1)
    assert not refused.allowed
    assert refused.retry_after_s == pytest.approx(6.01, abs=0.05)


async def test_a_request_over_the_burst_passes_when_full_and_makes_a_debt(
    limiter: RateLimiter, clock: HandClock
) -> None:
    charges = [charge(tokens_per_minute=600.0, burst_s=1.0)]
    assert (await limiter.take(charges, tokens=100)).allowed
    clock.seconds += 5.0
    assert not (await limiter.take(charges, tokens=1)).allowed
    clock.seconds += 5.0
    assert (await limiter.take(charges, tokens=1)).allowed


async def test_all_accounts_pay_or_none(limiter: RateLimiter, clock: HandClock) -> None:
    tenant = charge("{acme}", requests_per_minute=60.0, burst_s=10.0)
    key = charge("{acme}:key", requests_per_minute=60.0, burst_s=2.0)
    assert [(await limiter.take([tenant, key])).allowed for _ in range(4)] == [True, True, False, False]
    assert [(await limiter.take([tenant])).allowed for _ in range(9)] == [True] * 8 + [False]


async def test_the_tightest_meter_is_told(limiter: RateLimiter, clock: HandClock) -> None:
    charges = [
        charge("{acme}", requests_per_minute=600.0, tokens_per_minute=60_000.0, burst_s=6.0),
        charge("{acme}:key", requests_per_minute=60.0, burst_s=6.0),
    ]
    decided = await limiter.take(charges, tokens=1000)
    assert decided.requests is not None
    assert (decided.requests.limit, decided.requests.remaining) == (60, 5)
    assert decided.requests.reset_s == pytest.approx(1.0)
    assert decided.tokens is not None
    assert (decided.tokens.limit, decided.tokens.remaining) == (60_000, 5000)
    unlimited = await limiter.take([charge("{free}")], tokens=10**9)
    assert (unlimited.allowed, unlimited.requests, unlimited.tokens) == (True, None, None)


async def test_streams_at_a_time(limiter: RateLimiter, clock: HandClock) -> None:
    tenant, key = charge("{acme}", streams=3), charge("{acme}:key", streams=2)
    assert await limiter.open_stream([tenant, key], "s1", lease_s=60)
    assert await limiter.open_stream([tenant, key], "s2", lease_s=60)
    assert not await limiter.open_stream([tenant, key], "s3", lease_s=60)
    assert await limiter.open_stream([tenant], "s4", lease_s=60)
    assert not await limiter.open_stream([tenant], "s5", lease_s=60)
    await limiter.close_stream([tenant, key], "s1")
    await limiter.close_stream([tenant, key], "s1")
    await limiter.close_stream([tenant, key], "never opened")
    assert await limiter.open_stream([tenant, key], "s6", lease_s=60)
    assert not await limiter.open_stream([tenant, key], "s7", lease_s=60)


async def test_a_stream_whose_process_died_ends_with_its_lease(limiter: RateLimiter, clock: HandClock) -> None:
    charges = [charge(streams=1)]
    assert await limiter.open_stream(charges, "lost", lease_s=30)
    clock.seconds += 29
    assert not await limiter.open_stream(charges, "next", lease_s=30)
    clock.seconds += 2
    assert await limiter.open_stream(charges, "next", lease_s=30)


async def test_it_decides_as_the_one_in_process_does(limiter: RateLimiter, clock: HandClock) -> None:
    """The script in Redis and the arithmetic here are two texts of one rule."""
    rng, model = random.Random(1), LocalLimiter(clock=clock)
    tenant = charge("{acme}", requests_per_minute=300.0, tokens_per_minute=30_000.0, burst_s=5.0)
    key = charge("{acme}:key", requests_per_minute=200.0, tokens_per_minute=50_000.0, burst_s=2.0)
    for _ in range(400):
        clock.seconds += rng.choice((0.0, 0.01, 0.2, 1.0))
        tokens = rng.choice((0, 10, 500, 5000))
        if rng.random() < 0.2:
            await limiter.settle([tenant, key], tokens=tokens - 250)
            await model.settle([tenant, key], tokens=tokens - 250)
        got, wanted = await limiter.take([tenant, key], tokens=tokens), await model.take([tenant, key], tokens=tokens)
        assert got.allowed == wanted.allowed
        assert got.retry_after_s == pytest.approx(wanted.retry_after_s, abs=1e-3)
        assert got.requests is not None
        assert wanted.requests is not None
        assert got.requests.remaining == wanted.requests.remaining
