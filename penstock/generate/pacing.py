"""API keys, and the pace that a provider asks of each.

A provider says how much is left in `x-ratelimit-*` and when to come back in `Retry-After`. A key that is used up rests
until then; requests go on with another key, or wait their turn under their deadline. Keys come from the environment
and leave only in the Authorization header.
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


class Key:
    """One API key and its standing with the provider. Shows nothing of itself when printed."""

    def __init__(self, secret: str) -> None:
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self.ready_s = 0.0
        self.left: int | None = None
        self.resets_s = 0.0

    def __repr__(self) -> str:
        return "Key(…)"


class KeyRing:
    """Gives out keys in turn, the ready ones first. No keys at all: one without a header, paced all the same."""

    def __init__(self, *, keys: Sequence[str] = (), clock: Clock = MONOTONIC) -> None:
        self._keys = [Key(secret) for secret in keys] or [Key("")]
        self._clock = clock
        self._next = 0
        self.waiting = 0

    def replace(self, keys: Sequence[str]) -> None:
        """Use these keys from now on. Those that stay keep their standing; answers under way keep their key."""
        known = {key.headers.get("Authorization", ""): key for key in self._keys}
        fresh = [Key(secret) for secret in keys] or [Key("")]
        self._keys = [known.get(key.headers.get("Authorization", ""), key) for key in fresh]
        self._next = 0

    async def take(self, ctx: Context) -> Key:
        """A key that may be used now. Raises Overloaded at once where none will be ready before the deadline."""
        while (key := self._ready()) is None:
            now_s = self._clock.now_s()
            wait_s = min(key.ready_s for key in self._keys) - now_s
            if wait_s >= ctx.remaining_s():
                raise Overloaded("The provider's rate limit is used up.", retry_after_s=wait_s)
            self.waiting += 1
            try:
                await asyncio.sleep(wait_s)
            finally:
                self.waiting -= 1
        return key

    def heard(self, key: Key, status: int, headers: Mapping[str, str]) -> None:
        """Note what a response says of the key's standing."""
        now_s = self._clock.now_s()
        if status == 429:
            wait_s = retry_after_s(headers)
            key.ready_s = now_s + max(SHORTEST_REST_S, 1.0 if wait_s is None else wait_s)
            return
        for kind in ("requests", "tokens"):
            left = headers.get(f"x-ratelimit-remaining-{kind}", "")
            if not left.isdigit():
                continue
            rest_s = duration_s(headers.get(f"x-ratelimit-reset-{kind}", ""))
            if kind == "requests":
                key.left, key.resets_s = int(left), now_s + rest_s
            if int(left) == 0:
                key.ready_s = max(key.ready_s, now_s + max(SHORTEST_REST_S, rest_s))

    def _ready(self) -> Key | None:
        now_s = self._clock.now_s()
        for step in range(len(self._keys)):
            place = (self._next + step) % len(self._keys)
            key = self._keys[place]
            if key.left == 0 and now_s < key.resets_s:
                # Others took what was left since the provider last said; the next answer will tell anew.
                key.ready_s = max(key.ready_s, key.resets_s)
            if now_s < key.ready_s:
                continue
            if key.left is not None:
                key.left = max(0, key.left - 1) if now_s < key.resets_s else None
            self._next = place + 1
            return key
        return None


def duration_s(text: str) -> float:
    """Seconds of `6m0s`, `1.5s`, `20ms` or `12`; 0 where it cannot be read."""
    return sum(float(amount) * SECONDS[unit] for amount, unit in DURATION.findall(text))
