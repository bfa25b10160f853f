"""What only holds where gateways share a Redis, and what holds when it is away."""

from __future__ import annotations

import asyncio

import pytest

from penstock.core.errors import StageUnavailable
from penstock.flow.ratelimit.fallback import FallbackLimiter
from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import Charge, Quota
from penstock.flow.ratelimit.redis import RedisLimiter
from tests.flow.callers import HandClock
from tests.flow.ratelimit.conftest import RedisServer

CHARGES = [Charge(account="{acme}", quota=Quota(requests_per_minute=600.0, streams=6, burst_s=3.0))]


async def test_gateways_together_keep_the_quota_when_they_ask_at_the_same_time(shared_redis: RedisServer) -> None:
    gateways = [RedisLimiter(url=shared_redis.url, prefix="race:", timeout_s=5.0) for _ in range(3)]
    decisions = await asyncio.gather(*(gateway.take(CHARGES) for gateway in gateways for _ in range(50)))
    passed = sum(decision.allowed for decision in decisions)
    for gateway in gateways:
        await gateway.stop()
    # 30 at once, and 10 for each second that the 150 calls took, by the server's own clock.
    assert 30 <= passed <= 60
    assert {decision.source for decision in decisions} == {"shared"}


async def test_no_redis_is_a_typed_error_and_quick(own_redis: RedisServer) -> None:
    limiter = RedisLimiter(url=own_redis.url, timeout_s=0.2)
    own_redis.kill()
    with pytest.raises(StageUnavailable, match="Redis does not answer"):
        await limiter.take(CHARGES)
    with pytest.raises(StageUnavailable):
        await limiter.open_stream(CHARGES, "s", lease_s=1)
    await limiter.stop()


async def test_a_killed_redis_refuses_nobody_and_gives_no_more_than_twice_the_quota(own_redis: RedisServer) -> None:
    """Check 11's second half, on three gateways and a clock moved by hand."""
    clock, heard = HandClock(), list[bool]()
    shared = [RedisLimiter(url=own_redis.url, timeout_s=1.0, clock=clock) for _ in range(3)]
    gateways = [
        FallbackLimiter(shared=each, local=LocalLimiter(clock=clock), gateways=3, clock=clock, observe=heard.append)
        for each in shared
    ]
    passed, sources = 0, set[str]()
    for moment in range(600):
        clock.seconds += 0.1
        if moment == 300:
            own_redis.kill()
        for gateway in gateways:
            for _ in range(4):
                decision = await gateway.take(CHARGES)
                passed += decision.allowed
                sources.add(decision.source)
    assert 0.9 * 600 <= passed <= 1.2 * 600
    assert sources == {"shared", "local"}
    assert heard == [True, True, True]
    assert all(gateway.is_local for gateway in gateways)
    own_redis.start()
    clock.seconds += 2.0
    assert (await gateways[0].take(CHARGES)).source == "shared"
    assert not gateways[0].is_local
    assert heard[-1] is False
    for each in shared:
        await each.stop()


async def test_streams_and_settling_go_on_without_redis(own_redis: RedisServer) -> None:
    clock = HandClock()
    shared = RedisLimiter(url=own_redis.url, timeout_s=1.0, clock=clock)
    gateway = FallbackLimiter(shared=shared, local=LocalLimiter(clock=clock), gateways=3, clock=clock)
    assert await gateway.open_stream(CHARGES, "before", lease_s=60)
    own_redis.kill()
    opened = [await gateway.open_stream(CHARGES, f"s{n}", lease_s=60) for n in range(3)]
    assert opened == [True, True, False]  # a third of six
    await gateway.settle(CHARGES, tokens=10)
    await gateway.close_stream(CHARGES, "before")
    await gateway.close_stream(CHARGES, "s0")
    assert await gateway.open_stream(CHARGES, "s9", lease_s=60)
    await shared.stop()


async def test_buckets_that_are_full_again_disappear(shared_redis: RedisServer) -> None:
    limiter = RedisLimiter(url=shared_redis.url, prefix="ttl:", timeout_s=5.0)
    await limiter.take(CHARGES)
    assert 0 < await limiter._redis.ttl("ttl:{acme}") <= 64
    await limiter.stop()
