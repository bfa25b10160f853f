"""One replica of a model: its engine, its work in hand, and what is thought of its health."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Protocol

from penstock.core.context import Clock, Context
from penstock.core.errors import Overloaded, StageUnavailable
from penstock.core.types import Delta, Prompt
from penstock.flow.breaker import Breaker
from penstock.generate.affinity import Standing
from penstock.generate.states import ReplicaCondition

STAGE = "generate"
SICK_AFTER = 2
"""Probes in a row that have to fail."""
SUSPECT_S = 0.5
"""After a failure others are preferred for so long; the breaker judges by more than one failure."""
HALF_LIFE_S = 900.0
"""Of work given, as far as it counts for even shares."""


class Engine(Protocol):
    """A Generator whose iterator can be closed, and that can be asked how it is."""

    @property
    def model(self) -> str: ...
    def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]: ...
    async def healthy(self, ctx: Context) -> bool: ...


class Replica:
    """Owned by a pool."""

    def __init__(self, *, name: str, engine: Engine, clock: Clock) -> None:
        self.name = name
        self.engine = engine
        self.breaker = Breaker(name=STAGE, clock=clock)
        self.draining = False
        self.in_hand = 0
        self.heard = 0
        """Deltas that it has sent so far."""
        self.idle = asyncio.Event()
        self.idle.set()
        self._clock = clock
        self._failed_probes = 0
        self._avoid_until_s = -math.inf
        self._work_in_hand = 0.0
        self._recent, self._recent_at_s = 0.0, clock.now_s()
        self._first_tokens: set[asyncio.Future[Delta]] = set()

    @property
    def sick(self) -> bool:
        return self._failed_probes >= SICK_AFTER

    @property
    def suspect(self) -> bool:
        """Better somebody else, for now."""
        return self._clock.now_s() < self._avoid_until_s

    @property
    def condition(self) -> ReplicaCondition:
        """In a word; the first that holds."""
        if self.draining:
            return "draining"
        if self.sick:
            return "sick"
        if self.breaker.state == "open":
            return "resting"
        return "suspect" if self.suspect else "well"

    @property
    def standing(self) -> Standing:
        return Standing(self.name, self._work_in_hand, self._decayed())

    def level(self, lately: float) -> None:
        """It is new, or back: its share counts from that of the others, or it would be given everything."""
        self._recent, self._recent_at_s = max(lately, self._decayed()), self._clock.now_s()

    def take(self, cost: float) -> None:
        self._recent, self._recent_at_s = self._decayed() + cost, self._clock.now_s()
        self._work_in_hand += cost
        self.in_hand += 1
        self.idle.clear()

    def give_back(self, cost: float) -> None:
        self._work_in_hand -= cost
        self.in_hand -= 1
        if not self.in_hand:
            self.idle.set()

    def failed(self, error: Overloaded | StageUnavailable) -> None:
        """A request found it full or broken."""
        rest_s = error.retry_after_s if isinstance(error, Overloaded) else SUSPECT_S
        self._avoid_until_s = max(self._avoid_until_s, self._clock.now_s() + rest_s)

    def probed(self, *, healthy: bool) -> None:
        """Count a probe. One that turns it sick ends all waits for first tokens here, so that they go elsewhere."""
        self._failed_probes = 0 if healthy else self._failed_probes + 1
        if self._failed_probes == SICK_AFTER:
            for waiting in list(self._first_tokens):
                waiting.cancel()

    async def first(self, deltas: AsyncGenerator[Delta]) -> Delta:
        """The first delta. Raises StageUnavailable when the replica turns sick meanwhile."""
        waiting = asyncio.ensure_future(_next(deltas))
        self._first_tokens.add(waiting)
        try:
            # `wait` tells our own cancellation, which it raises, from the wait's, which it returns.
            await asyncio.wait((waiting,))
            if waiting.cancelled():
                raise StageUnavailable(STAGE, f"replica '{self.name}' stopped answering")
            return waiting.result()
        finally:
            self._first_tokens.discard(waiting)
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait((waiting,))

    def _decayed(self) -> float:
        return self._recent * math.exp2((self._recent_at_s - self._clock.now_s()) / HALF_LIFE_S)


async def _next(deltas: AsyncGenerator[Delta]) -> Delta:
    return await anext(deltas)
