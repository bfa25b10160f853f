"""Stop calling what does not answer, notice when it does again, and come back gently.

    closed ──(failures)──> open ──(after open_s)──> half open ──(probes succeed)──> ramp ──(after ramp_s)──> closed
                             ^──────(a probe fails)─────┘   ^──(failures again)───────┘

It opens after `consecutive` failures in a row, or when `failure_share` of at least `least_calls` outcomes of the last
`window_s` are failures. While open, callers fail at once. In half open at most `probes` calls are under way; as
many successes start the ramp, in which the share of calls let through grows from one tenth to all, so that a
target that just recovered meets no wave.

    breaker = Breaker(name="generate")
    async with breaker.attempt():
        ...                        # StageUnavailable while open

A caller's own mistake, a caller who left, and a refusal because the target is full say nothing against it: opening on
Overloaded would turn a full house into a closed one. A deadline counts only when the call had
`patience_s`, so that callers with tiny deadlines cannot close a target for the others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from penstock.core.context import MONOTONIC, Clock
from penstock.core.errors import DeadlineExceeded, InvalidRequest, Overloaded, StageUnavailable

State = Literal["closed", "open", "half_open", "ramp"]

_BINS = 10
_JITTER = random.Random()  # noqa: S311 - spreads load, guards nothing


class Breaker:
    """See the head of this file."""

    def __init__(
        self,
        *,
        name: str,
        failure_share: float = 0.5,
        least_calls: int = 10,
        consecutive: int = 5,
        window_s: float = 2.0,
        open_s: float = 1.0,
        probes: int = 3,
        ramp_s: float = 2.0,
        patience_s: float = 5.0,
        observe: Callable[[State], None] | None = None,
        rng: random.Random = _JITTER,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._name = name
        self._failure_share, self._least_calls, self._consecutive = failure_share, least_calls, consecutive
        self._outcomes = _Window(window_s)
        self._open_s, self._probes, self._ramp_s, self.patience_s = open_s, probes, ramp_s, patience_s
        self._observe, self._rng, self.clock = observe, rng, clock
        self._state: State = "closed"
        self._in_a_row = 0
        self._until_s = 0.0
        self._probing = 0
        self._proved = 0
        self._let_through = 0.0
        self._era = 0

    @property
    def state(self) -> State:
        """What the next call will meet; an open breaker whose time is over reads half open."""
        if self._state == "open" and self.clock.now_s() >= self._until_s:
            return "half_open"
        return self._state

    def attempt(self) -> Attempt:
        """For `async with`: StageUnavailable at once when the call may not be made."""
        return Attempt(self)

    def enter(self) -> int:
        """Ask for one call; the era it belongs to. Raises StageUnavailable. Each enter is followed by one leave."""
        now_s = self.clock.now_s()
        if self._state == "open" and now_s >= self._until_s:
            self._turn("half_open")
            self._probing = self._proved = 0
        if self._state == "ramp" and now_s >= self._until_s:
            self._turn("closed")
        if self._state == "open" or (self._state == "half_open" and self._probing + self._proved >= self._probes):
            raise StageUnavailable(self._name, "it has failed repeatedly and rests for a moment")
        if self._state == "half_open":
            self._probing += 1
        elif self._state == "ramp":
            self._ramp(now_s)
        return self._era

    def leave(self, era: int, *, succeeded: bool | None) -> None:
        """The outcome of a call; None when it says nothing of the target."""
        if era != self._era:
            return  # It began before the last change of state: old news.
        now_s = self.clock.now_s()
        if self._state == "half_open":
            self._probing -= 1
            self._judge_probe(now_s, succeeded=succeeded)
            return
        if succeeded is None:
            return
        self._outcomes.add(now_s, failed=not succeeded)
        self._in_a_row = 0 if succeeded else self._in_a_row + 1
        if not succeeded and self._has_failed(now_s):
            self._open(now_s)

    def _judge_probe(self, now_s: float, *, succeeded: bool | None) -> None:
        if succeeded is False:
            self._open(now_s)
        elif succeeded:
            self._proved += 1
            if self._proved >= self._probes:
                self._turn("ramp")
                self._until_s = now_s + self._ramp_s
                self._let_through = 0.0

    def _has_failed(self, now_s: float) -> bool:
        if self._in_a_row >= self._consecutive:
            return True
        calls, failures = self._outcomes.totals(now_s)
        return calls >= self._least_calls and failures >= self._failure_share * calls

    def _ramp(self, now_s: float) -> None:
        # Error diffusion instead of dice: of the calls, exactly the share goes through, evenly spaced.
        done = 1.0 - (self._until_s - now_s) / self._ramp_s
        self._let_through += 0.1 + 0.9 * done
        if self._let_through < 1.0:
            raise StageUnavailable(self._name, "it is recovering and takes a part of the calls")
        self._let_through -= 1.0

    def _open(self, now_s: float) -> None:
        self._turn("open")
        # Jitter, so that gateways do not probe in step.
        self._until_s = now_s + self._open_s * self._rng.uniform(0.8, 1.2)

    def _turn(self, state: State) -> None:
        self._state = state
        self._era += 1
        self._in_a_row = 0
        self._outcomes.clear()
        if self._observe is not None:
            self._observe(state)


class Attempt:
    """One call through a breaker."""

    __slots__ = ("_began_s", "_breaker", "_era")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._era = 0
        self._began_s = 0.0

    async def __aenter__(self) -> Self:
        self._era = self._breaker.enter()
        self._began_s = self._breaker.clock.now_s()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        took_s = self._breaker.clock.now_s() - self._began_s
        self._breaker.leave(self._era, succeeded=_verdict(error, took_s, self._breaker.patience_s))


def _verdict(error: BaseException | None, took_s: float, patience_s: float) -> bool | None:
    if error is None:
        return True
    if isinstance(error, DeadlineExceeded) and took_s < patience_s:
        return None
    if isinstance(error, InvalidRequest | Overloaded | asyncio.CancelledError | GeneratorExit):
        return None
    return False


class _Window:
    """Outcomes of the last seconds, in bins."""

    def __init__(self, window_s: float) -> None:
        self._bin_s = window_s / _BINS
        self._bins: dict[int, list[int]] = {}

    def add(self, now_s: float, *, failed: bool) -> None:
        counts = self._bins.setdefault(int(now_s / self._bin_s), [0, 0])
        counts[0] += 1
        counts[1] += failed

    def totals(self, now_s: float) -> tuple[int, int]:
        """Calls and failures."""
        oldest = int(now_s / self._bin_s) - _BINS
        for index in [index for index in self._bins if index <= oldest]:
            del self._bins[index]
        return sum(calls for calls, _ in self._bins.values()), sum(failed for _, failed in self._bins.values())

    def clear(self) -> None:
        self._bins.clear()
