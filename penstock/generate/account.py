"""What each answer took and cost: tokens, time to the first one, tokens a second, price; by tenant and model."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import msgspec

from penstock.core.context import Context
from penstock.core.types import Delta, Prompt, Usage
from penstock.flow.estimate import Durations
from penstock.generate.replica import Engine
from penstock.generate.tokens import TokenCount

MOST_ACCOUNTS = 10_000


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Per million tokens, in whatever currency the table is kept."""

    prompt: float = 0.0
    cached: float = 0.0
    output: float = 0.0

    def of(self, usage: Usage) -> float:
        fresh = usage.prompt - usage.cached
        return (fresh * self.prompt + usage.cached * self.cached + usage.output * self.output) / 1e6


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `tokens_per_s` counts from the first token on; of one that broke off both counts are estimates."""

    tenant: str
    model: str
    usage: Usage
    first_token_s: float
    total_s: float
    price: float
    complete: bool

    @property
    def tokens_per_s(self) -> float:
        spoken_s = self.total_s - self.first_token_s
        return self.usage.output / spoken_s if spoken_s > 0 else 0.0


class Totals(msgspec.Struct):
    """Sums of one tenant's use of one model."""

    requests: int = 0
    broken: int = 0
    prompt: int = 0
    cached: int = 0
    output: int = 0
    price: float = 0.0
    spoken: int = 0
    """Requests in which a first token came, and the sums of their times to it and from it on."""
    first_token_s: float = 0.0
    speaking_s: float = 0.0


class Account:
    """Adds bills up until somebody takes the sums, for the most recent tenants and models; shows each to `observe`."""

    def __init__(self, *, observe: Callable[[Bill], None] | None = None) -> None:
        self._observe = observe
        self._totals: OrderedDict[tuple[str, str], Totals] = OrderedDict()

    def totals(self, tenant: str, model: str) -> Totals:
        return self._totals.get((tenant, model), Totals())

    def take(self) -> dict[tuple[str, str], Totals]:
        """The sums by tenant and model since they were last taken."""
        taken, self._totals = self._totals, OrderedDict()
        return taken

    def give_back(self, sums: Mapping[tuple[str, str], Totals]) -> None:
        """They could not be kept: they are the account's again."""
        for key, lost in sums.items():
            totals = self._of(key)
            for name in Totals.__struct_fields__:
                setattr(totals, name, getattr(totals, name) + getattr(lost, name))

    def add(self, bill: Bill) -> None:
        totals = self._of((bill.tenant, bill.model))
        totals.requests += 1
        totals.broken += not bill.complete
        totals.prompt += bill.usage.prompt
        totals.cached += bill.usage.cached
        totals.output += bill.usage.output
        totals.price += bill.price
        if bill.usage.output:
            totals.spoken += 1
            totals.first_token_s += bill.first_token_s
            totals.speaking_s += bill.total_s - bill.first_token_s
        if self._observe is not None:
            self._observe(bill)

    def _of(self, key: tuple[str, str]) -> Totals:
        totals = self._totals.setdefault(key, Totals())
        self._totals.move_to_end(key)
        if len(self._totals) > MOST_ACCOUNTS:
            self._totals.popitem(last=False)
        return totals


class Accounted:
    """A Generator whose answers are billed, also those that nobody heard to the end."""

    def __init__(self, *, engine: Engine, account: Account, price: Price, tokens: TokenCount) -> None:
        self.model = engine.model
        self.price = price
        self.in_hand = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._tokens = tokens
        self.first_token = Durations()
        self.token = Durations()
        self._engine, self._account = engine, account

    async def healthy(self, ctx: Context) -> bool:
        return await self._engine.healthy(ctx)

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        began_s = ctx.clock.now_s()
        first_s: float | None = None
        usage, complete, said = Usage(), False, 0
        self.in_hand += 1
        self.idle.clear()
        try:
            async with aclosing(self._engine.generate(prompt, ctx)) as deltas:
                async for delta in deltas:
                    if first_s is None and delta.text:
                        first_s = ctx.clock.now_s() - began_s
                        self.first_token.observe(first_s)
                    said += len(delta.text)
                    if delta.finish is not None:
                        complete, usage = True, delta.usage or usage
                    yield delta
        finally:
            total_s = ctx.clock.now_s() - began_s
            self.in_hand -= 1
            if not self.in_hand:
                self.idle.set()
            if not complete:
                usage = self._so_far(prompt, said)
            if complete and first_s is not None and usage.output > 1:
                self.token.observe((total_s - first_s) / usage.output)
            self._account.add(
                Bill(
                    tenant=ctx.principal.tenant,
                    model=self.model,
                    usage=usage,
                    first_token_s=first_s if first_s is not None else total_s,
                    total_s=total_s,
                    price=self.price.of(usage),
                    complete=complete,
                )
            )

    def _so_far(self, prompt: Prompt, said: int) -> Usage:
        """What an answer that was not heard to its end has used. One that never began has used nothing."""
        if not said:
            return Usage()
        asked = len(prompt.question) + sum(len(hit.chunk.text) for hit in prompt.passages)
        asked += sum(len(turn.content) for turn in prompt.messages)
        return Usage(prompt=self._tokens.chars(asked), output=self._tokens.chars(said))
