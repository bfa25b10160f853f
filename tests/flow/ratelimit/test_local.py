from __future__ import annotations

from penstock.flow.ratelimit.headers import duration, headers_of
from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import Charge, Decision, Meter, Quota
from tests.flow.callers import HandClock


async def test_accounts_are_bounded_and_open_streams_are_not_forgotten() -> None:
    limiter, quota = LocalLimiter(clock=HandClock(), keep=100), Quota(requests_per_minute=60.0, streams=1)
    first = [Charge(account="first", quota=quota)]
    assert await limiter.open_stream(first, "s", lease_s=60)
    for n in range(1000):
        await limiter.take([Charge(account=f"a{n}", quota=quota)])
    assert len(limiter) == 100
    assert not await limiter.open_stream(first, "t", lease_s=60)


def test_headers_as_openai_writes_them() -> None:
    decision = Decision(
        allowed=False,
        retry_after_s=1.2,
        requests=Meter(limit=60, remaining=59, reset_s=1.0),
        tokens=Meter(limit=150_000, remaining=149_984, reset_s=360.0),
    )
    assert headers_of(decision) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
        "retry-after": "2",
    }
    assert headers_of(Decision(allowed=True)) == {}


def test_durations() -> None:
    wanted = {0.0: "0ms", 0.0121: "13ms", 7.66: "7.66s", 60.0: "1m0s", 3723.0: "1h2m3s", 59.999: "60s"}
    assert {seconds: duration(seconds) for seconds in wanted} == wanted


def test_a_gateways_part() -> None:
    part = Quota(requests_per_minute=600.0, streams=2).divided_by(3)
    assert (part.requests_per_minute, part.tokens_per_minute, part.streams) == (200.0, None, 1)
