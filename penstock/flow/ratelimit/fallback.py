"""Going on without the shared limiter: each gateway then gives its own part of every quota, and says so.

Nobody is refused because Redis is away, and nobody gets more than about the whole quota: all gateways together give
quota / gateways each. What was taken before is not known here, so in the moment of the change an account may get its
burst once more. While it is away Redis is asked again every `ask_again_s`, by one request at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from penstock.core.context import MONOTONIC, Clock
from penstock.core.errors import StageUnavailable
from penstock.flow.ratelimit.quota import Charge, Decision, RateLimiter


class FallbackLimiter:
    """See the head of this file. `observe` hears True when the shared limiter is lost, False when it is back."""

    def __init__(
        self,
        *,
        shared: RateLimiter,
        local: RateLimiter,
        gateways: int,
        ask_again_s: float = 1.0,
        observe: Callable[[bool], None] | None = None,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._shared, self._local = shared, local
        self._gateways = gateways
        self._ask_again_s = ask_again_s
        self._observe = observe
        self._clock = clock
        self._is_local = False
        self._ask_at_s = 0.0

    @property
    def is_local(self) -> bool:
        """Whether quotas are kept by each gateway alone at this moment."""
        return self._is_local

    async def take(self, charges: Sequence[Charge], *, tokens: int = 0) -> Decision:
        if self._may_ask():
            try:
                decided = await self._shared.take(charges, tokens=tokens)
            except StageUnavailable:
                self._lost()
            else:
                self._found()
                return decided
        return await self._local.take(self._parts(charges), tokens=tokens)

    async def settle(self, charges: Sequence[Charge], *, tokens: int) -> None:
        if not self._is_local:
            try:
                await self._shared.settle(charges, tokens=tokens)
            except StageUnavailable:
                self._lost()
            else:
                return
        await self._local.settle(self._parts(charges), tokens=tokens)

    async def open_stream(self, charges: Sequence[Charge], stream: str, *, lease_s: float) -> bool:
        if self._may_ask():
            try:
                opened = await self._shared.open_stream(charges, stream, lease_s=lease_s)
            except StageUnavailable:
                self._lost()
            else:
                self._found()
                return opened
        return await self._local.open_stream(self._parts(charges), stream, lease_s=lease_s)

    async def close_stream(self, charges: Sequence[Charge], stream: str) -> None:
        # It may have been opened on either side. One that Redis cannot be told of ends there with its lease.
        await self._local.close_stream(self._parts(charges), stream)
        if not self._is_local:
            try:
                await self._shared.close_stream(charges, stream)
            except StageUnavailable:
                self._lost()

    async def stop(self) -> None:
        await self._shared.stop()
        await self._local.stop()

    def _may_ask(self) -> bool:
        if not self._is_local:
            return True
        now_s = self._clock.now_s()
        if now_s < self._ask_at_s:
            return False
        # The others go on locally meanwhile: a hanging Redis delays one request, not all.
        self._ask_at_s = now_s + self._ask_again_s
        return True

    def _lost(self) -> None:
        self._ask_at_s = self._clock.now_s() + self._ask_again_s
        if not self._is_local:
            self._is_local = True
            if self._observe is not None:
                self._observe(True)

    def _found(self) -> None:
        if self._is_local:
            self._is_local = False
            if self._observe is not None:
                self._observe(False)

    def _parts(self, charges: Sequence[Charge]) -> list[Charge]:
        return [msgspec.structs.replace(charge, quota=charge.quota.divided_by(self._gateways)) for charge in charges]
