"""Ask many at once and take what has come by the deadline.

    gathered = await scatter({shard.name: shard.search for shard in shards}, ctx=ctx, spare_s=0.05)
    gathered.results     what answered, by name, in the order of asking
    gathered.missing     why the others did not

Each is called with a context that ends `spare_s` before the caller's own, so that there is time left to make
something of a part. Who has not answered then is cancelled and waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, InvalidRequest, PenstockError, StageUnavailable

T = TypeVar("T")


class Gathered(msgspec.Struct, Generic[T], frozen=True):
    """What came, and why the rest did not."""

    results: dict[str, T]
    missing: dict[str, BaseException]

    @property
    def coverage(self) -> float:
        """The share that answered; 1 when nobody was asked."""
        asked = len(self.results) + len(self.missing)
        return len(self.results) / asked if asked else 1.0


async def scatter(
    calls: Mapping[str, Callable[[Context], Awaitable[T]]],
    *,
    ctx: Context,
    spare_s: float = 0.0,
    least: int = 1,
    stage: str = "fanout",
) -> Gathered[T]:
    """All results that come in time. Raises when they are fewer than `least` (or than all, if fewer were asked).

    Then: an InvalidRequest if one of them says so, DeadlineExceeded if all were late, else StageUnavailable.
    """
    if not calls:
        return Gathered({}, {})
    inner = ctx.within(max(0.0, ctx.remaining_s() - spare_s))
    inner.check(stage)

    async def ask(call: Callable[[Context], Awaitable[T]]) -> T:
        return await call(inner)

    tasks = {name: asyncio.create_task(ask(call), name=f"{stage}:{name}") for name, call in calls.items()}
    try:
        await asyncio.wait(tasks.values(), timeout=inner.remaining_s())
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    results: dict[str, T] = {}
    missing: dict[str, BaseException] = {}
    for name, task in tasks.items():
        error = DeadlineExceeded(stage=name) if task.cancelled() else task.exception()
        if error is None:
            results[name] = task.result()
        else:
            missing[name] = error
    if len(results) < min(least, len(calls)):
        raise _too_few(stage, len(calls), missing)
    return Gathered(results, missing)


def _too_few(stage: str, asked: int, missing: Mapping[str, BaseException]) -> PenstockError:
    errors = list(missing.values())
    for error in errors:
        if isinstance(error, InvalidRequest):
            return error  # The question is wrong; asking elsewhere would not help.
    if all(isinstance(error, DeadlineExceeded) for error in errors):
        return DeadlineExceeded(stage=stage)
    reasons = "; ".join(f"{name}: {error}" for name, error in missing.items())
    return StageUnavailable(stage, f"{asked - len(missing)} of {asked} answered ({reasons})")
