"""Quotas counted in Redis, so that all gateways together keep them. Needs the extra `redis`.

Each decision is one script run inside Redis (take.lua), so no two gateways can both take the last token, and by
Redis' clock, so theirs need not agree. An answer that does not come within `timeout_s` is StageUnavailable;
wrap this in FallbackLimiter to go on without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from importlib.resources import files
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from penstock.core.context import Clock
from penstock.core.errors import StageUnavailable
from penstock.flow.ratelimit.bucket import Rate, decision, meter, rates_of
from penstock.flow.ratelimit.quota import Charge, Decision

_NO_LIMIT = Rate(0.0, -1.0)


class RedisLimiter:
    """See the head of this file. `clock` replaces Redis' own, for tests that move the time."""

    def __init__(
        self, *, url: str, timeout_s: float = 0.1, prefix: str = "penstock:limit:", clock: Clock | None = None
    ) -> None:
        self._redis: Redis = Redis.from_url(
            # The client's own retries would hold a request for seconds; FallbackLimiter knows better what to do.
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix = prefix
        self._clock = clock
        self._take = self._redis.register_script(_script("take.lua"))
        self._open = self._redis.register_script(_script("open_stream.lua"))

    async def stop(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def take(self, charges: Sequence[Charge], *, tokens: int = 0) -> Decision:
        reply = await self._run("take", charges, tokens)
        wait_s = float(reply[0]) / 1e6
        levels = [float(level) for level in reply[1:]]
        pairs = [rates_of(charge.quota) for charge in charges]
        decided = decision(
            waits_s=[wait_s],
            requests=[meter(levels[2 * i], rate) for i, (rate, _) in enumerate(pairs)],
            tokens=[meter(levels[2 * i + 1], rate) for i, (_, rate) in enumerate(pairs)],
        )
        return msgspec.structs.replace(decided, source="shared")

    async def settle(self, charges: Sequence[Charge], *, tokens: int) -> None:
        await self._run("settle", charges, tokens)

    async def open_stream(self, charges: Sequence[Charge], stream: str, *, lease_s: float) -> bool:
        limits = [-1 if charge.quota.streams is None else charge.quota.streams for charge in charges]
        keys = [self._streams_key(charge) for charge in charges]
        reply = await self._asked(self._open(keys=keys, args=[self._now(), int(lease_s * 1e6), stream, *limits]))
        return bool(reply)

    async def close_stream(self, charges: Sequence[Charge], stream: str) -> None:
        for charge in charges:
            await self._asked(cast("Awaitable[Any]", self._redis.zrem(self._streams_key(charge), stream)))

    async def _run(self, mode: str, charges: Sequence[Charge], tokens: int) -> list[str]:
        arguments: list[Any] = [self._now(), mode, tokens]
        for charge in charges:
            for rate in rates_of(charge.quota):
                arguments += [(rate or _NO_LIMIT).per_s, (rate or _NO_LIMIT).capacity]
        keys = [f"{self._prefix}{charge.account}" for charge in charges]
        return cast("list[str]", await self._asked(self._take(keys=keys, args=arguments)))

    async def _asked(self, question: Awaitable[Any]) -> Any:
        try:
            return await question
        except (RedisError, OSError, TimeoutError) as error:
            raise StageUnavailable("rate limits", f"Redis does not answer: {error}") from error

    def _streams_key(self, charge: Charge) -> str:
        return f"{self._prefix}{charge.account}:streams"

    def _now(self) -> int | str:
        return "" if self._clock is None else int(self._clock.now_s() * 1e6)


def _script(name: str) -> str:
    return (files("penstock.flow.ratelimit") / name).read_text(encoding="utf-8")
