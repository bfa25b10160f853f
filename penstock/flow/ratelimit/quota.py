"""The words of rate limiting, and the port.

    charges = [Charge(account="{acme}", quota=tenant_quota), Charge(account="{acme}:key_1", quota=key_quota)]
    decision = await limiter.take(charges, tokens=1200)
    if not decision.allowed: raise decision.refusal()
    ...
    await limiter.settle(charges, tokens=used - 1200)      what was estimated becomes what was used

A charge passes all of its accounts or takes from none. An account is a name that the caller makes; two that are charged
together on a Redis Cluster must have the same part in braces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from penstock.core.errors import RateLimited


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may use; None: without limit. `burst_s` of it may come at once.

    A single request that is larger than the burst passes when the bucket is full, and the account is then in debt.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    streams: int | None = None
    burst_s: float = 2.0

    def divided_by(self, gateways: int) -> Quota:
        """One gateway's part, for as long as the gateways cannot talk to each other."""
        return Quota(
            requests_per_minute=self.requests_per_minute and self.requests_per_minute / gateways,
            tokens_per_minute=self.tokens_per_minute and self.tokens_per_minute / gateways,
            streams=self.streams and max(1, self.streams // gateways),
            burst_s=self.burst_s,
        )


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """An account and what it may use."""

    account: str
    quota: Quota


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """One limit after a decision. `limit` is per minute; `remaining` may be used at once; full again in `reset_s`."""

    limit: int
    remaining: int
    reset_s: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """May this request go on? Meters are those of the account with the least left, None where there is no limit."""

    allowed: bool
    retry_after_s: float = 0.0
    requests: Meter | None = None
    tokens: Meter | None = None
    source: Literal["shared", "local"] = "local"

    def refusal(self) -> RateLimited:
        """The error for a caller who may not go on."""
        return RateLimited("This key or its tenant has used what it was given.", retry_after_s=self.retry_after_s)


class RateLimiter(Protocol):
    """Counts use against quotas. An implementation that is shared raises StageUnavailable when it cannot be reached."""

    async def take(self, charges: Sequence[Charge], *, tokens: int = 0) -> Decision:
        """One request and its estimated tokens, from all accounts or from none."""
        ...

    async def settle(self, charges: Sequence[Charge], *, tokens: int) -> None:
        """Take `tokens` more, without asking; a negative number gives back."""
        ...

    async def open_stream(self, charges: Sequence[Charge], stream: str, *, lease_s: float) -> bool:
        """Count a stream in, or False when an account has all it may have.

        It is counted out by `close_stream`, or after `lease_s`, should this process die before.
        """
        ...

    async def close_stream(self, charges: Sequence[Charge], stream: str) -> None:
        """Count it out. Twice, or for one that was refused, changes nothing."""
        ...

    async def stop(self) -> None:
        """Close what is open. What was counted elsewhere stays there."""
        ...
