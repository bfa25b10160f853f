"""At most so many answers at a model's servers: who would be one too many waits his turn, or another model answers.

Without a limit of its own one slow model would hold all the places that the gateway has for answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from penstock.core.context import Context
from penstock.core.types import Delta, Prompt
from penstock.flow.admission import Admission
from penstock.generate.pool import Pool
from penstock.generate.replica import Engine

SHORTEST_WAIT_S = 0.5
WAIT_SHARE = 1.0
"""Of an answer's usual time: who would wait for longer is better served by another model."""


class Admitted:
    """An Engine that is entered through a door. Raises Overloaded or RateLimited for whom there is no place in time."""

    def __init__(self, *, engine: Engine, pool: Pool, places_each: int) -> None:
        """`pool` is where the answers are made, with `places_each` on every replica."""
        self.model = engine.model
        self._engine = engine
        self.door = Admission(
            name=f"engine {engine.model}",
            limit=_Places(pool, places_each),
            shortest_wait_s=SHORTEST_WAIT_S,
            wait_share=WAIT_SHARE,
        )

    async def healthy(self, ctx: Context) -> bool:
        return await self._engine.healthy(ctx)

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        async with self.door.admit(ctx), aclosing(self._engine.generate(prompt, ctx)) as deltas:
            async for delta in deltas:
                yield delta


class _Places:
    """A Limit that follows how many replicas there are to ask."""

    def __init__(self, pool: Pool, each: int) -> None:
        self._pool, self._each = pool, each

    @property
    def value(self) -> int:
        return self._each * max(1, self._pool.usable)

    def observe(self, duration_s: float, in_flight: int) -> None:
        """Nothing to learn."""

    def dropped(self) -> None:
        """Nothing to learn."""
