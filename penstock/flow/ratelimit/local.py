"""Quotas counted in this process."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.context import MONOTONIC, Clock
from penstock.flow.ratelimit.bucket import Rate, decision, filled, meter, rates_of, wait_s
from penstock.flow.ratelimit.quota import Charge, Decision

_KEEP_ACCOUNTS = 10_000


class _Account:
    """Levels of the two buckets, and the streams that are open with the time at which their lease ends."""

    __slots__ = ("at_s", "requests", "streams", "tokens")

    def __init__(self, requests: float, tokens: float, at_s: float) -> None:
        self.requests = requests
        self.tokens = tokens
        self.at_s = at_s
        self.streams: dict[str, float] = {}


class LocalLimiter:
    """Forgets accounts that have not been used for longest when there are more than `keep`; they then start full."""

    def __init__(self, *, clock: Clock = MONOTONIC, keep: int = _KEEP_ACCOUNTS) -> None:
        self._clock = clock
        self._keep = keep
        self._accounts: dict[str, _Account] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    async def take(self, charges: Sequence[Charge], *, tokens: int = 0) -> Decision:
        rates = [rates_of(charge.quota) for charge in charges]
        accounts = [self._account(charge, *pair) for charge, pair in zip(charges, rates, strict=True)]
        waits_s = [
            max(_wait(account.requests, 1.0, by_request), _wait(account.tokens, float(tokens), by_token))
            for account, (by_request, by_token) in zip(accounts, rates, strict=True)
        ]
        if max(waits_s, default=0.0) <= 0.0:
            for account in accounts:
                account.requests -= 1.0
                account.tokens -= tokens
        pairs = list(zip(accounts, rates, strict=True))
        return decision(
            waits_s=waits_s,
            requests=[meter(account.requests, rate) for account, (rate, _) in pairs],
            tokens=[meter(account.tokens, rate) for account, (_, rate) in pairs],
        )

    async def settle(self, charges: Sequence[Charge], *, tokens: int) -> None:
        for charge in charges:
            by_request, by_token = rates_of(charge.quota)
            account = self._account(charge, by_request, by_token)
            if by_token is not None:
                account.tokens = min(by_token.capacity, account.tokens - tokens)

    async def open_stream(self, charges: Sequence[Charge], stream: str, *, lease_s: float) -> bool:
        now_s = self._clock.now_s()
        accounts = [self._account(charge, *rates_of(charge.quota)) for charge in charges]
        for account, charge in zip(accounts, charges, strict=True):
            account.streams = {name: end_s for name, end_s in account.streams.items() if end_s > now_s}
            if charge.quota.streams is not None and len(account.streams) >= charge.quota.streams:
                return False
        for account in accounts:
            account.streams[stream] = now_s + lease_s
        return True

    async def close_stream(self, charges: Sequence[Charge], stream: str) -> None:
        for charge in charges:
            account = self._accounts.get(charge.account)
            if account is not None:
                account.streams.pop(stream, None)

    async def stop(self) -> None:
        """Nothing is open."""

    def _account(self, charge: Charge, by_request: Rate | None, by_token: Rate | None) -> _Account:
        now_s = self._clock.now_s()
        # Taken out and put back: the dict stays in the order of last use.
        account = self._accounts.pop(charge.account, None)
        if account is None:
            account = _Account(_capacity(by_request), _capacity(by_token), now_s)
        else:
            account.requests = _filled(account.requests, now_s - account.at_s, by_request)
            account.tokens = _filled(account.tokens, now_s - account.at_s, by_token)
            account.at_s = now_s
        self._accounts[charge.account] = account
        if len(self._accounts) > self._keep:
            self._forget_oldest()
        return account

    def _forget_oldest(self) -> None:
        oldest = next((name for name, account in self._accounts.items() if not account.streams), None)
        if oldest is not None:
            del self._accounts[oldest]


def _capacity(rate: Rate | None) -> float:
    return rate.capacity if rate else 0.0


def _filled(level: float, idle_s: float, rate: Rate | None) -> float:
    return filled(level, idle_s, rate) if rate else 0.0


def _wait(level: float, amount: float, rate: Rate | None) -> float:
    return wait_s(level, amount, rate) if rate else 0.0
