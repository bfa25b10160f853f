"""Trying again, within two budgets, so that retries never become the load.

- The request's: `Context.retries` is one allowance that all stages of a request share (core/context.py).
- The target's: a token bucket (`TargetBudget`); each first attempt earns a fifth of a retry, and three are there from
  the start, so attempts <= 1.2 x calls + 3 whatever fails (the budget of gRPC's retry throttling and Finagle).

Waits are "full jitter": uniform between 0 and an exponentially growing bound (Brooker, AWS Architecture Blog, 2015).
What the target itself asks for (Overloaded.retry_after_s) is the least wait. A wait that would end after the deadline
is not begun: the error is raised at once.

    budget = TargetBudget()
    answer = await retry(lambda: engine.ask(prompt, ctx), ctx=ctx, budget=budget)
    async for delta in retry_stream(lambda: engine.generate(prompt, ctx), ctx=ctx, budget=budget): ...

Only call it with work that may be done twice. A stream is tried again only before its first item.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

from penstock.core.context import Context
from penstock.core.errors import Overloaded, RateLimited, StageUnavailable

T = TypeVar("T")


class TargetBudget:
    """Retries that one target (a server, a shard, a model) will be given, by all requests together.

    `most` bounds how many can be saved up and spent at once; without it, as many as there are at the start.
    """

    def __init__(self, *, share: float = 0.2, at_start: float = 3.0, most: float | None = None) -> None:
        self._share = share
        self._most = at_start if most is None else most
        self._tokens = at_start

    def earn(self) -> None:
        """A first attempt is made."""
        self._tokens = min(self._most, self._tokens + self._share)

    def take(self) -> bool:
        """One retry, if there is one."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def give_back(self) -> None:
        """The retry that was taken is not made after all."""
        self._tokens = min(self._most, self._tokens + 1.0)


def is_passing(error: BaseException) -> bool:
    """Whether the same call may well succeed a little later. A caller's own limit is for the caller to wait out."""
    if isinstance(error, RateLimited):
        return False
    return isinstance(error, Overloaded | StageUnavailable | ConnectionError | TimeoutError)


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before attempt 2, 3, ...: up to `first_s`, doubling to at most `longest_s`."""

    first_s: float = 0.05
    longest_s: float = 2.0

    def wait_s(self, attempt: int, error: BaseException, rng: random.Random) -> float:
        jittered_s = rng.uniform(0.0, min(self.longest_s, self.first_s * 2.0 ** (attempt - 1)))
        if isinstance(error, Overloaded):
            # Spread upwards: all callers of a full target are told the same second.
            return error.retry_after_s + jittered_s
        return jittered_s


BACKOFF = Backoff()
_JITTER = random.Random()  # noqa: S311 - spreads load, guards nothing


async def retry(
    call: Callable[[], Awaitable[T]],
    *,
    ctx: Context,
    budget: TargetBudget,
    backoff: Backoff = BACKOFF,
    passing: Callable[[BaseException], bool] = is_passing,
    rng: random.Random = _JITTER,
) -> T:
    """`call()`, and again while its error is `passing` and both budgets and the deadline allow."""
    budget.earn()
    attempt = 1
    while True:
        try:
            return await call()
        except Exception as error:
            if not await _may_go_on(attempt, error, ctx, budget, backoff, passing, rng):
                raise
        attempt += 1


async def retry_stream(
    open_stream: Callable[[], AsyncIterator[T]],
    *,
    ctx: Context,
    budget: TargetBudget,
    backoff: Backoff = BACKOFF,
    passing: Callable[[BaseException], bool] = is_passing,
    rng: random.Random = _JITTER,
) -> AsyncIterator[T]:
    """The items of `open_stream()`; opened again after a passing error only if no item has been given out."""
    budget.earn()
    attempt = 1
    while True:
        has_begun = False
        try:
            async with _closing(open_stream()) as stream:
                async for item in stream:
                    has_begun = True
                    yield item
            return
        except Exception as error:
            if has_begun or not await _may_go_on(attempt, error, ctx, budget, backoff, passing, rng):
                raise
        attempt += 1


@contextlib.asynccontextmanager
async def _closing(stream: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    # The engine's slot is free before anyone waits for another attempt. Not every iterator is a generator.
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def _may_go_on(
    attempt: int,
    error: BaseException,
    ctx: Context,
    budget: TargetBudget,
    backoff: Backoff,
    passing: Callable[[BaseException], bool],
    rng: random.Random,
) -> bool:
    """Take from both budgets and wait; False, with nothing taken, when there is no sense in another attempt."""
    if not passing(error):
        return False
    wait_s = backoff.wait_s(attempt, error, rng)
    if wait_s >= ctx.remaining_s() or not budget.take():
        return False
    if not ctx.retries.take():
        budget.give_back()
        return False
    await asyncio.sleep(wait_s)
    return True
