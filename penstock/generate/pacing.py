"""API keys, and the pace that a provider asks of each.

A provider says how much is left in `x-ratelimit-*` and when to come back in `Retry-After`. A key that is used up rests
until then; requests go on with another key, or wait their turn under their deadline, first come first served. After a
429 the waiting ones do not all come at once: the gap between two requests of the key doubles with each refusal, and
shrinks with each answer. A key that the provider refuses rests for longer. Keys come from the environment or a file and
leave only in the Authorization header.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

from penstock.core.context import MONOTONIC, Clock, Context
from penstock.core.errors import Overloaded
from penstock.generate.faults import retry_after_s

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)?")
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "": 1.0}
SHORTEST_REST_S = 0.05
REFUSED_REST_S = 60.0
"""Of a key that the provider does not know (401, 403). It may have been revoked, or not be known everywhere yet."""
FIRST_GAP_S, LONGEST_GAP_S, SHORTEST_GAP_S = 0.05, 5.0, 0.005
MOST_WAITING = 1_000


class Allowance:
    """What is left of one of a provider's limits, as it last said and as we have used it since."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.resets_s = 0.0

    def heard(self, left: int, resets_s: float) -> None:
        self.left, self.resets_s = left, resets_s

    def lets(self, amount: int, now_s: float) -> bool:
        """Whether so much may be used now. More than was ever left is let through: it would wait for ever."""
        if self.left is None or now_s >= self.resets_s:
            self.left = None
            return True
        return self.left >= max(1, amount)

    def use(self, amount: int) -> None:
        if self.left is not None:
            self.left = max(0, self.left - amount)


class Key:
    """One API key and its standing with the provider. Shows nothing of itself when printed."""

    def __init__(self, secret: str) -> None:
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self.ready_s = 0.0
        self.gap_s = 0.0
        self.limits = {"requests": Allowance(), "tokens": Allowance()}

    def __repr__(self) -> str:
        return "Key(…)"

    def lets_s(self, tokens: int, now_s: float) -> float:
        """When a request of so many tokens may go; not after `now_s` when it may now."""
        when_s = self.ready_s
        for kind, amount in (("requests", 1), ("tokens", tokens)):
            limit = self.limits[kind]
            if not limit.lets(amount, now_s):
                # Others took what was left since the provider last said; the next answer will tell anew.
                when_s = max(when_s, limit.resets_s)
        return when_s

    def use(self, tokens: int, now_s: float) -> None:
        self.limits["requests"].use(1)
        self.limits["tokens"].use(tokens)
        self.ready_s = max(self.ready_s, now_s + self.gap_s)

    def refused_for_now(self, rest_s: float, now_s: float) -> None:
        self.ready_s = max(self.ready_s, now_s + rest_s)
        self.gap_s = min(LONGEST_GAP_S, max(FIRST_GAP_S, 2 * self.gap_s))

    def answered(self) -> None:
        self.gap_s *= 0.8
        if self.gap_s < SHORTEST_GAP_S:
            self.gap_s = 0.0


class KeyRing:
    """Gives out keys in turn, the ready ones first. No keys at all: one without a header, paced all the same."""

    def __init__(self, *, keys: Sequence[str] = (), clock: Clock = MONOTONIC) -> None:
        self._keys = [Key(secret) for secret in keys] or [Key("")]
        self._clock = clock
        self._next = 0
        self._turn = asyncio.Lock()
        self.waiting = 0

    def replace(self, keys: Sequence[str]) -> None:
        """Use these keys from now on. Those that stay keep their standing; answers under way keep their key."""
        known = {key.headers.get("Authorization", ""): key for key in self._keys}
        fresh = [Key(secret) for secret in keys] or [Key("")]
        self._keys = [known.get(key.headers.get("Authorization", ""), key) for key in fresh]
        self._next = 0

    @property
    def has_ready(self) -> bool:
        """Whether a small request could go now."""
        now_s = self._clock.now_s()
        return any(key.lets_s(1, now_s) <= now_s for key in self._keys)

    async def take(self, ctx: Context, *, tokens: int = 0) -> Key:
        """A key that may be used now for a request of about so many tokens.

        Raises Overloaded at once where none will be ready before the deadline, and when too many wait already.
        """
        if not self.waiting and (key := self._ready(tokens)) is not None:
            return key
        if self.waiting >= MOST_WAITING:
            raise Overloaded(
                "Too many requests wait for the provider's rate limit.", retry_after_s=self._wait_s(tokens)
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(ctx.remaining_s()):
                await self._turn.acquire()
        except TimeoutError as error:
            raise Overloaded(
                "The provider's rate limit is used up.", retry_after_s=max(1.0, self._wait_s(tokens))
            ) from error
        finally:
            self.waiting -= 1
        # Only the first in the queue looks at the keys, so nobody overtakes and nobody starves.
        self.waiting += 1
        try:
            while (key := self._ready(tokens)) is None:
                wait_s = self._wait_s(tokens)
                if wait_s >= ctx.remaining_s():
                    raise Overloaded("The provider's rate limit is used up.", retry_after_s=wait_s)
                await asyncio.sleep(wait_s)
        finally:
            self.waiting -= 1
            self._turn.release()
        return key

    def heard(self, key: Key, status: int, headers: Mapping[str, str]) -> None:
        """Note what a response says of the key's standing."""
        now_s = self._clock.now_s()
        if status == 429:
            wait_s = retry_after_s(headers)
            key.refused_for_now(max(SHORTEST_REST_S, 1.0 if wait_s is None else wait_s), now_s)
            return
        if status in (401, 403):
            key.ready_s = max(key.ready_s, now_s + (REFUSED_REST_S if len(self._keys) > 1 else 0.0))
            return
        if status == 200:
            key.answered()
        for kind, limit in key.limits.items():
            left = headers.get(f"x-ratelimit-remaining-{kind}", "")
            if left.isdigit():
                rest_s = duration_s(headers.get(f"x-ratelimit-reset-{kind}", ""))
                limit.heard(int(left), now_s + max(SHORTEST_REST_S, rest_s))

    def _wait_s(self, tokens: int) -> float:
        now_s = self._clock.now_s()
        return max(0.0, min(key.lets_s(tokens, now_s) for key in self._keys) - now_s)

    def _ready(self, tokens: int) -> Key | None:
        now_s = self._clock.now_s()
        for step in range(len(self._keys)):
            place = (self._next + step) % len(self._keys)
            key = self._keys[place]
            if key.lets_s(tokens, now_s) <= now_s:
                key.use(tokens, now_s)
                self._next = place + 1
                return key
        return None


def duration_s(text: str) -> float:
    """Seconds of `6m0s`, `1.5s`, `20ms` or `12`; 0 where it cannot be read."""
    return sum(float(amount) * SECONDS[unit] for amount, unit in DURATION.findall(text))
