"""What each key and its tenant have left: asked before anything else is done for a request.

Tokens are estimated from the length of the body, which need not be read for that; when the answer is there, the
difference to what was used is charged or given back. Streams are counted from their first event to their last.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Scope

from penstock.config import LimitSettings
from penstock.core.errors import RateLimited
from penstock.core.types import Allowance, Principal
from penstock.flow.ratelimit.headers import headers_of
from penstock.flow.ratelimit.quota import Charge, Quota, RateLimiter
from penstock.gateway.observe import EXTRA_HEADERS
from penstock.gateway.operation import Operation

BYTES_A_TOKEN = 4
UNLIMITED = Allowance()
REMEMBERED = 10_000


class Quotas:
    """Keeps tenants and keys to what the settings and the keys themselves say."""

    def __init__(self, *, settings: LimitSettings, limiter: RateLimiter) -> None:
        self._settings = settings
        self._limiter = limiter
        self._all_limited = any(
            (
                settings.requests_per_minute,
                settings.tokens_per_minute,
                settings.streams,
                settings.key_requests_per_minute,
                settings.key_tokens_per_minute,
                settings.key_streams,
            )
        )
        self._charges: dict[Principal, Sequence[Charge]] = {}

    def limits(self, principal: Principal) -> bool:
        """Whether anything is limited for this caller."""
        return self._all_limited or principal.allowance != UNLIMITED

    async def enter(self, principal: Principal, scope: Scope, operation: Operation) -> Bill | None:
        """Charge the request; None where nothing is limited. Raises RateLimited."""
        charges = self._charges.get(principal)
        if charges is None:
            charges = self._remember(principal)
        if not charges:
            return None
        tokens = _length(scope) // BYTES_A_TOKEN + 1 if operation.door is not None else 0
        decision = await self._limiter.take(charges, tokens=tokens)
        headers = headers_of(decision)
        headers.pop("retry-after", None)  # the refusal brings its own
        scope[EXTRA_HEADERS] = [(name.encode(), value.encode()) for name, value in headers.items()]
        if not decision.allowed:
            raise decision.refusal()
        return Bill(self._limiter, charges, tokens)

    def _remember(self, principal: Principal) -> Sequence[Charge]:
        if len(self._charges) >= REMEMBERED:
            self._charges.clear()
        own, ours = principal.allowance, self._settings
        # Both accounts lie in one slot of a Redis cluster: the part in braces decides.
        account = f"{{{principal.tenant}}}"
        of_tenant = Quota(
            requests_per_minute=ours.requests_per_minute or None,
            tokens_per_minute=ours.tokens_per_minute or None,
            streams=ours.streams or None,
            burst_s=ours.burst_s,
        )
        of_key = Quota(
            requests_per_minute=own.requests_per_minute or ours.key_requests_per_minute or None,
            tokens_per_minute=own.tokens_per_minute or ours.key_tokens_per_minute or None,
            streams=own.streams or ours.key_streams or None,
            burst_s=ours.burst_s,
        )
        pairs = ((account, of_tenant), (f"{account}:{principal.key_id}", of_key))
        charges = [Charge(account=name, quota=quota) for name, quota in pairs if _limits(quota)]
        self._charges[principal] = charges
        return charges


class Bill:
    """What one request was charged."""

    __slots__ = ("_charges", "_estimate", "_limiter", "_stream")

    def __init__(self, limiter: RateLimiter, charges: Sequence[Charge], estimate: int) -> None:
        self._limiter, self._charges, self._estimate = limiter, charges, estimate
        self._stream = ""

    async def open_stream(self, name: str, *, lease_s: float) -> None:
        """Raises RateLimited when the account has as many open as it may."""
        if not any(charge.quota.streams for charge in self._charges):
            return
        if not await self._limiter.open_stream(self._charges, name, lease_s=lease_s):
            raise RateLimited("This key or its tenant has as many streams open as it may.", retry_after_s=1.0)
        self._stream = name

    async def settle(self, tokens: int | None) -> None:
        """The request is over, and has used so many; None: as estimated."""
        if self._stream:
            await self._limiter.close_stream(self._charges, self._stream)
        if tokens is not None and tokens != self._estimate:
            await self._limiter.settle(self._charges, tokens=tokens - self._estimate)


def _limits(quota: Quota) -> bool:
    return bool(quota.requests_per_minute or quota.tokens_per_minute or quota.streams)


def _length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)
    return 0
