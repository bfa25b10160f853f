"""Replicas of one model as one engine: who gets a prompt, who is left alone, and what happens when one fails.

A request is tried on another replica only before its first token, within the budgets of flow/retry.py; a stream that
has begun ends in an error instead, since its caller already has a part. The first token may be hedged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

from penstock.core.context import MONOTONIC, Clock, Context, start_context
from penstock.core.errors import NotFound, Overloaded, StageUnavailable
from penstock.core.types import Delta, Principal, Prompt
from penstock.flow.hedge import Hedge
from penstock.flow.lifecycle import OnDeath, Tasks
from penstock.flow.retry import TargetBudget
from penstock.generate.affinity import PrefixMap, blocks_of, pick
from penstock.generate.replica import STAGE, Engine, Replica

CHARS_PER_TOKEN = 4
USUAL_OUTPUT_TOKENS = 256
MOST_SAVED_RETRIES = 256.0
"""Of the fifth of a retry that each request earns, so many may be spent at once: a replica that dies with many waiting
for their first token there must not fail them all. They only ever go to replicas that are well."""


class Resting(StageUnavailable):
    """The replica's breaker let the call not through: nothing was asked of it."""


class Pool:
    """A Generator over replicas. `start` begins the probes, `stop` ends them; the engines are their owner's."""

    def __init__(
        self,
        *,
        model: str,
        on_death: OnDeath,
        probe_every_s: float = 0.5,
        probe_timeout_s: float = 0.75,
        hedged: bool = False,
        clock: Clock = MONOTONIC,
    ) -> None:
        self.model = model
        self.prefixes = PrefixMap()
        self.attempts = 0
        self.retries = 0
        self._replicas: dict[str, Replica] = {}
        self._budget = TargetBudget(most=MOST_SAVED_RETRIES)
        self._hedge = Hedge(name=STAGE, clock=clock) if hedged else None
        self._probe_every_s, self._probe_timeout_s = probe_every_s, probe_timeout_s
        self._clock = clock
        self._tasks = Tasks(name=f"pool {model}", on_death=on_death)

    @property
    def hedges(self) -> int:
        """First tokens for which a second replica was asked."""
        return self._hedge.hedged if self._hedge else 0

    @property
    def replicas(self) -> Sequence[Replica]:
        return tuple(self._replicas.values())

    def add(self, name: str, engine: Engine) -> None:
        """It takes requests from now on."""
        replica = Replica(name=name, engine=engine, clock=self._clock)
        self._level(replica)
        self._replicas[name] = replica

    def drain(self, name: str) -> None:
        """Give it nothing new; what runs there runs on. Raises NotFound."""
        self._named(name).draining = True

    def resume(self, name: str) -> None:
        """It takes requests again. Raises NotFound."""
        replica = self._named(name)
        if replica.draining:
            replica.draining = False
            self._level(replica)

    async def remove(self, name: str, *, within_s: float) -> bool:
        """Wait until a drained replica is idle or the time is up, and take it out. False: it was resumed meanwhile.

        Raises NotFound.
        """
        replica = self._named(name)
        idle = asyncio.ensure_future(replica.idle.wait())
        try:
            await asyncio.wait((idle,), timeout=within_s)
        finally:
            idle.cancel()
        if not replica.draining or self._replicas.get(name) is not replica:
            return False
        del self._replicas[name]
        self.prefixes.forget(name)
        return True

    def _named(self, name: str) -> Replica:
        replica = self._replicas.get(name)
        if replica is None:
            raise NotFound("replica", name, param="replica")
        return replica

    async def start(self) -> None:
        if self._probe_every_s > 0:
            self._tasks.start("probe", self._probe_forever())

    async def stop(self) -> None:
        await self._tasks.stop()

    def may_try_more(self) -> bool:
        """Take one of the attempts beyond the first, which hedges share with retries."""
        return self._budget.take()

    @property
    def usable(self) -> int:
        """How many replicas may be asked."""
        return sum(self._usable(replica) for replica in self.replicas)

    @property
    def is_well(self) -> bool:
        """Whether any may."""
        return self.usable > 0

    async def healthy(self, ctx: Context) -> bool:  # noqa: ARG002 - every engine's signature
        return self.is_well

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        """Deltas of whichever replica answers. Raises what the last one tried raised, or StageUnavailable."""
        ctx.check(STAGE)
        self._budget.earn()
        hashes = blocks_of(prompt.messages)
        tried: set[str] = set()
        while True:
            replica = self._choose(prompt, hashes, tried)
            has_begun = False
            try:
                async with aclosing(self._answer(replica, prompt, ctx, hashes, tried)) as deltas:
                    async for delta in deltas:
                        has_begun = True
                        yield delta
                return
            except Resting:
                # Its breaker let nothing through, so this was no attempt, and going elsewhere is no retry.
                if not self._is_another_usable(tried):
                    raise
            except (Overloaded, StageUnavailable) as error:
                if has_begun or not self._may_go_on(error, tried, ctx):
                    raise

    def _is_another_usable(self, tried: Collection[str]) -> bool:
        return any(self._usable(replica) for replica in self.replicas if replica.name not in tried)

    def _may_go_on(self, error: Overloaded | StageUnavailable, tried: set[str], ctx: Context) -> bool:
        if not self._is_another_usable(tried):
            if not (isinstance(error, Overloaded) and error.retry_after_s < ctx.remaining_s()):
                return False
            # Nobody else: its key ring lets the request wait for its turn.
            tried.clear()
        if not self._budget.take():
            return False
        if not ctx.retries.take():
            self._budget.give_back()
            return False
        self.retries += 1
        return True

    def _usable(self, replica: Replica) -> bool:
        return not (replica.draining or replica.sick or replica.breaker.state == "open")

    def _choose(self, prompt: Prompt, hashes: Sequence[int], tried: Collection[str]) -> Replica:
        usable = [one for one in self.replicas if one.name not in tried and self._usable(one)]
        if not usable:
            raise StageUnavailable(STAGE, f"no replica of '{self.model}' is well")
        candidates = [one for one in usable if not one.suspect] or usable
        standings = [one.standing for one in candidates]
        name = pick(standings, self.prefixes.matched(hashes), cost=_cost(prompt))
        return self._replicas[name]

    async def _answer(
        self, replica: Replica, prompt: Prompt, ctx: Context, hashes: Sequence[int], tried: set[str]
    ) -> AsyncGenerator[Delta]:
        others = [one for one in self.replicas if one is not replica and one.name not in tried and self._usable(one)]
        attempts = [_Attempt(self, replica, prompt, ctx, hashes)]
        if self._hedge is not None and others:
            second = min(others, key=lambda one: one.standing.in_hand)
            attempts.append(_Attempt(self, second, prompt, ctx, hashes, is_extra=True))
        try:
            if len(attempts) == 1 or self._hedge is None:
                winner = await attempts[0].begin()
            else:
                winner = await self._hedge.call([attempt.begin for attempt in attempts])
            for loser in attempts:
                if loser is not winner:
                    await loser.end(None)
            assert winner.first is not None
            assert winner.stream is not None
            yield winner.first
            served_by = winner.replica
            async for delta in winner.stream:
                served_by.heard += 1
                yield delta
        except BaseException as error:
            tried.update(attempt.replica.name for attempt in attempts if attempt.begun)
            for attempt in attempts:
                await attempt.end(error)
            raise
        await winner.end(None)

    async def _probe_forever(self) -> None:
        while True:
            await asyncio.gather(*(self._probe(replica) for replica in self.replicas))
            await asyncio.sleep(self._probe_every_s)

    async def _probe(self, replica: Replica) -> None:
        ctx = start_context(principal=Principal(), timeout_s=self._probe_timeout_s)
        was_sick, heard = replica.sick, replica.heard
        # An engine under load may be slow to list its models. As long as it sends tokens it is not frozen.
        replica.probed(healthy=await replica.engine.healthy(ctx) or replica.heard > heard)
        if replica.sick and not was_sick:
            # Whatever it comes back as, its cache will be empty.
            self.prefixes.forget(replica.name)
        elif was_sick and not replica.sick:
            self._level(replica)

    def _level(self, replica: Replica) -> None:
        others = [one.standing.lately for one in self.replicas if one is not replica and self._usable(one)]
        replica.level(sum(others) / len(others) if others else 0.0)


class _Attempt:
    """One replica's try at one request. `end` gives everything back, once."""

    def __init__(
        self,
        pool: Pool,
        replica: Replica,
        prompt: Prompt,
        ctx: Context,
        hashes: Sequence[int],
        *,
        is_extra: bool = False,
    ) -> None:
        self._pool = pool
        self.replica = replica
        self._is_extra = is_extra
        self._prompt, self._ctx, self._hashes = prompt, ctx, hashes
        self._cost = _cost(prompt)
        self.stream: AsyncGenerator[Delta] | None = None
        self.first: Delta | None = None
        self._breaker = replica.breaker.attempt()
        self.begun = False

    async def begin(self) -> _Attempt:
        """Returns itself once the first delta is there."""
        self.begun = True
        if self._is_extra and not self._pool.may_try_more():
            raise Resting(STAGE, "the pool's extra attempts are used up")
        try:
            await self._breaker.__aenter__()
        except StageUnavailable as error:
            raise Resting(STAGE, f"replica '{self.replica.name}' rests") from error
        self._pool.attempts += 1
        self.replica.take(self._cost)
        matched = self._pool.prefixes.matched(self._hashes).get(self.replica.name, 0)
        self._pool.prefixes.sent(self._hashes, self.replica.name, matched=matched)
        self.stream = self.replica.engine.generate(self._prompt, self._ctx)
        try:
            self.first = await self.replica.first(self.stream)
        except BaseException as error:
            await self.end(error)
            raise
        return self

    async def end(self, error: BaseException | None) -> None:
        if self.stream is None:
            return
        stream, self.stream = self.stream, None
        if isinstance(error, Overloaded | StageUnavailable):
            self.replica.failed(error)
        try:
            await stream.aclose()
        finally:
            self.replica.give_back(self._cost)
            await self._breaker.__aexit__(type(error) if error else None, error, None)


def _cost(prompt: Prompt) -> float:
    chars = sum(len(message.content) for message in prompt.messages)
    return chars / CHARS_PER_TOKEN + (prompt.sampling.max_tokens or USUAL_OUTPUT_TOKENS)
