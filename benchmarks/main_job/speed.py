"""How fast over HTTP: alone and with many callers, in rounds, so that arms can take turns."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.main_job.caller import Request, Spell, alone, ask_all, together
from benchmarks.main_job.metrics import percentile

CALLERS = 32
WARM = 50


class Arm:
    """One kind of request to one server, and its rounds so far."""

    def __init__(self, *, port: int, requests: Sequence[Request]) -> None:
        self._port = port
        self._requests = requests
        self._place = 0
        self._alone: list[Spell] = []
        self._together: list[Spell] = []

    async def warm(self) -> None:
        await alone(self._port, self._next(WARM))

    async def ask_alone(self, count: int) -> None:
        self._alone.append(await alone(self._port, self._next(count)))

    async def ask_together(self, seconds: float) -> None:
        # Requests of their own for each round, so that no arm meets the same questions again and again.
        requests = self._next(len(self._requests))
        self._together.append(await together(self._port, requests, callers=CALLERS, seconds=seconds))

    def figures(self) -> dict[str, Any]:
        return {"alone": summary(self._alone), "together": summary(self._together) | {"callers": CALLERS}}

    def _next(self, count: int) -> list[Request]:
        chosen = [self._requests[(self._place + step) % len(self._requests)] for step in range(count)]
        self._place += count
        return chosen


async def measure(arms: Mapping[str, Arm], *, rounds: int, alone_count: int, seconds: float) -> dict[str, Any]:
    """All arms in turns, round after round."""
    for arm in arms.values():
        await arm.warm()
    for _ in range(rounds):
        for arm in arms.values():
            await arm.ask_alone(alone_count)
    for _ in range(rounds):
        for arm in arms.values():
            await arm.ask_together(seconds)
    return {name: arm.figures() for name, arm in arms.items()}


async def stages_ms(port: int, requests: Sequence[Request]) -> dict[str, float]:
    """Median of what each stage says it took in cited answers, one caller."""
    completions = await ask_all(port, requests, callers=1)
    timings = [completion["penstock"]["timings_ms"] for completion in completions]
    return {name: statistics.median(timing[name] for timing in timings if name in timing) for name in timings[0]}


def summary(spells: Sequence[Spell]) -> dict[str, Any]:
    """Percentiles over all rounds; medians and ranges of the rounds."""
    latencies_ms = [latency for spell in spells for latency in spell.latencies_ms]
    rates = [spell.per_s for spell in spells]
    middles = [spell.at(50) for spell in spells]
    return {
        "requests": len(latencies_ms),
        "refused": sum(spell.refused for spell in spells),
        "per_s": statistics.median(rates),
        "per_s_range": [min(rates), max(rates)],
        "p50_ms": percentile(latencies_ms, 50),
        "p50_ms_range": [min(middles), max(middles)],
        "p99_ms": percentile(latencies_ms, 99),
    }
