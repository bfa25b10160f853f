"""The arithmetic of a token bucket. take.lua does the same inside Redis; the contract tests compare the two."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from penstock.flow.ratelimit.quota import Decision, Meter, Quota


class Rate(msgspec.Struct, frozen=True):
    """A bucket of `capacity`, filled by `per_s`."""

    per_s: float
    capacity: float


def rate_of(per_minute: float | None, burst_s: float) -> Rate | None:
    """The bucket of a limit. It holds at least one, or nothing would ever pass."""
    if per_minute is None:
        return None
    return Rate(per_minute / 60.0, max(1.0, per_minute / 60.0 * burst_s))


def rates_of(quota: Quota) -> tuple[Rate | None, Rate | None]:
    """The buckets of requests and of tokens."""
    return rate_of(quota.requests_per_minute, quota.burst_s), rate_of(quota.tokens_per_minute, quota.burst_s)


def filled(level: float, idle_s: float, rate: Rate) -> float:
    """The level after `idle_s`. Time that went backwards fills nothing."""
    return min(rate.capacity, level + max(0.0, idle_s) * rate.per_s)


def wait_s(level: float, amount: float, rate: Rate) -> float:
    """Until `amount` may be taken; 0: now. More than the bucket holds may be taken when it is full."""
    missing = min(amount, rate.capacity) - level
    # A level that was computed may be a hair under one that was meant.
    return 0.0 if missing <= 1e-9 else missing / rate.per_s if rate.per_s else math.inf


def meter(level: float, rate: Rate | None) -> Meter | None:
    """What a caller is told; None where there is no limit."""
    if rate is None:
        return None
    remaining = max(0, math.floor(level + 1e-9))
    reset_s = (rate.capacity - level) / rate.per_s if rate.per_s else 0.0
    return Meter(limit=round(rate.per_s * 60), remaining=remaining, reset_s=max(0.0, reset_s))


def decision(*, waits_s: Sequence[float], requests: Sequence[Meter | None], tokens: Sequence[Meter | None]) -> Decision:
    """All accounts' answers as one: the longest wait, the least left."""
    longest_s = max(waits_s, default=0.0)
    return Decision(
        allowed=longest_s <= 0.0,
        retry_after_s=min(longest_s, 3600.0),
        requests=_tightest(requests),
        tokens=_tightest(tokens),
    )


def _tightest(meters: Sequence[Meter | None]) -> Meter | None:
    return min((each for each in meters if each is not None), key=lambda each: each.remaining, default=None)
