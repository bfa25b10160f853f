"""The trials. Each returns rows of (what, bar, measured, whether it is met)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks.overload.rig import SERVICE_S, Caller, Engine, Gateways, Redis, gateways, judged
from penstock.bench.figures import Figures, latency_ms
from penstock.bench.load import Stream
from penstock.bench.samples import Samples

REJECT_MS = 50.0
BURST_S = 4.0


class Row(NamedTuple):
    what: str
    bar: str
    measured: str
    met: bool


class Trial(msgspec.Struct, frozen=True):
    """How large, how long, and where."""

    folder: Path
    seconds: float
    slots: int
    seed: int
    server_cores: tuple[int, ...]
    generator_cores: tuple[int, ...]

    @property
    def capacity(self) -> float:
        return self.slots / SERVICE_S

    def engine(self, **behaviour: object) -> Engine:
        return Engine(slots=self.slots, cores=self.generator_cores, **behaviour)


def stream(name: str, rate: float, key: str, **more: object) -> Stream:
    return msgspec.convert({"name": name, "rate": rate, "key": key, "kinds": {"stream": 1.0}, **more}, Stream)


def p99(found: Figures) -> float:
    return found.served.latency_ms.p99 if found.served.latency_ms else float("nan")


async def overload(trial: Trial) -> list[Row]:
    """Check 9: two, five and ten times the capacity."""
    rows: list[Row] = []
    engine = trial.engine()
    await engine.start()
    try:
        async with gateways(trial.folder, engine, [Caller("acme")], cores=trial.server_cores) as servers:

            async def at(times: float, seconds: float, skip_s: float = 0.0) -> Figures:
                streams = [stream("all", times * trial.capacity, servers.keys["acme/interactive"])]
                samples = await servers.load(streams, seconds=seconds, cores=trial.generator_cores, seed=trial.seed)
                return judged(samples, streams, seconds=seconds, slo_ms=1.5 * SERVICE_S * 1000 * 1.5, skip_s=skip_s)

            await at(0.3, 3)
            unloaded = p99(await at(0.5, max(5.0, trial.seconds / 3)))
            rows.append(Row("p99 at half of the capacity", "", f"{unloaded:.0f} ms", True))
            for times, least in ((2, 0.95), (5, 0.90), (10, 0.90)):
                found = await at(times, trial.seconds)
                rows += _judged(f"{times} x", found, unloaded, least * trial.capacity, trial.capacity)
            back = p99(await at(0.5, 10, 5))
            rows.append(Row("p99 from 5 s after", "<= 1.1 x", f"{back / unloaded:.2f} x", back <= 1.1 * unloaded))
    finally:
        await engine.stop()
    return rows


def _judged(name: str, found: Figures, unloaded: float, goodput: float, capacity: float) -> list[Row]:
    served = found.served
    late = [one.latency_ms.p99 for one in found.refused if one.latency_ms]
    wrong = sum(one.retry_after_missing + one.retry_after_wrong for one in found.refused)
    others = sorted({one.status for one in found.refused} - {429, 503})
    return [
        Row(f"{name}: p99 of admitted", "<= 1.5 x", f"{p99(found) / unloaded:.2f} x", p99(found) <= 1.5 * unloaded),
        Row(
            f"{name}: goodput",
            f">= {goodput / capacity:.0%}",
            f"{served.answered_per_s / capacity:.1%}",
            served.answered_per_s >= goodput,
        ),
        Row(f"{name}: refusals p99", "<= 50 ms", f"{max(late, default=0):.1f} ms", max(late, default=0) <= REJECT_MS),
        Row(
            f"{name}: refusals",
            "429 or 503 with Retry-After",
            f"{served.rejected}, {wrong} without, {served.failed} failed",
            not wrong and not others and not served.failed,
        ),
    ]


async def spike(trial: Trial) -> list[Row]:
    """Check 10: interactive at 0.8 of the capacity; in the middle batch and ingestion come with twelve times it."""
    engine = trial.engine()
    await engine.start()
    third = trial.seconds / 3
    callers = [Caller("acme"), Caller("acme", "batch"), Caller("acme", "ingestion")]
    try:
        async with gateways(trial.folder, engine, callers, cores=trial.server_cores) as servers:
            key = servers.keys
            streams = [
                stream("interactive", 0.8 * trial.capacity, key["acme/interactive"]),
                stream("batch", 8 * trial.capacity, key["acme/batch"], start_s=third, stop_s=2 * third),
                stream("ingestion", 4 * trial.capacity, key["acme/ingestion"], start_s=third, stop_s=2 * third),
                stream("later batch", 0.1 * trial.capacity, key["acme/batch"], start_s=2 * third),
            ]
            samples = await servers.load(streams, seconds=trial.seconds, cores=trial.generator_cores, seed=trial.seed)
    finally:
        await engine.stop()
    due_s, took_ms = samples.moments["due_s"], latency_ms(samples)
    people, spiked = samples.stream == 0, (due_s >= third) & (due_s < 2 * third)
    ok = samples.ended("ok")
    alone = float(np.percentile(took_ms[people & ok & (due_s > 2) & (due_s < third)], 99))
    beside = float(np.percentile(took_ms[people & ok & spiked], 99))
    share = float(ok[people & spiked].mean())
    later = (samples.stream == 3) & (due_s > 2 * third + 10)
    recovered = float(ok[later].mean()) if later.any() else float("nan")
    return [
        Row("interactive answered in the spike", ">= 99.9 %", f"{share:.2%}", share >= 0.999),
        Row(
            "interactive p99 in the spike",
            "<= 1.5 x",
            f"{beside / alone:.2f} x of {alone:.0f} ms",
            beside <= 1.5 * alone,
        ),
        Row("batch 10 s after the spike", "answered", f"{recovered:.1%}", not later.any() or recovered >= 0.99),
    ]


async def neighbour(trial: Trial) -> list[Row]:
    """Check 11: one tenant at ten times its quota, 19 at half of theirs, three gateways; Redis dies in the middle.

    A burst of four seconds' worth, so that callers who come by chance (Poisson) at half of a quota keep it; what the
    loud one gets is counted after its burst.
    """
    quota = 2.0
    engine, redis = Engine(slots=1024, cores=trial.generator_cores), Redis()
    await engine.start()
    await redis.start()
    os.environ["BENCH_REDIS_URL"] = redis.url
    limits = (
        f"[limits]\nrequests_per_minute = {quota * 60}\nburst_s = {BURST_S}\n"
        'redis_url_env = "BENCH_REDIS_URL"\ngateways = 3\n'
    )
    callers = [Caller("a"), *(Caller(f"t{n}") for n in range(19))]
    try:
        async with gateways(trial.folder, engine, callers, count=3, cores=trial.server_cores, more=limits) as servers:
            alone = await _neighbours(trial, servers, quota, loud=False)
            together = await _neighbours(trial, servers, quota, loud=True)
            killing = asyncio.create_task(_kill_after(redis, trial.seconds / 2), name="kill redis")
            killed = await _neighbours(trial, servers, quota, loud=True)
            await killing
    finally:
        os.environ.pop("BENCH_REDIS_URL", None)
        await redis.kill()
        await engine.stop()
    others = [samples.stream > 0 for samples in together]
    refused = sum(int(samples.ended("reject")[rows].sum()) for samples, rows in zip(together, others, strict=True))
    before, during = _p99_of_others(alone), _p99_of_others(together)
    share, after = (_passed(runs) / (quota * (trial.seconds - BURST_S)) for runs in (together, killed))
    broken = sum(int(samples.ended("error").sum()) for samples in (*together, *killed))
    return [
        Row("others refused", "0", str(refused), refused == 0),
        Row("others' p99", "<= 1.2 x", f"{during / before:.2f} x of {before:.0f} ms", during <= 1.2 * before),
        Row("the loud one got of its quota", "90 to 105 %", f"{share:.1%}", 0.90 <= share <= 1.05),
        Row("the same with Redis killed midway", "<= 2 x", f"{after:.1%}", after <= 2.0),
        Row("failures, Redis killed or not", "0", str(broken), broken == 0),
    ]


async def _neighbours(trial: Trial, servers: Gateways, quota: float, *, loud: bool) -> list[Samples]:
    # Tenants spread over the gateways; the loud one comes to all three.
    quiet = [stream(f"t{n}", quota / 6, servers.keys[f"t{n}/interactive"]) for n in range(19)]
    noisy = [stream("a", (10 * quota if loud else 0.01) / 3, servers.keys["a/interactive"])]
    return await asyncio.gather(
        *(
            servers.at(
                address, [*noisy, *quiet], seconds=trial.seconds, cores=trial.generator_cores, seed=trial.seed + place
            )
            for place, address in enumerate(servers.addresses)
        )
    )


async def _kill_after(redis: Redis, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await redis.kill()


def _p99_of_others(runs: list[Samples]) -> float:
    took_ms = np.concatenate([latency_ms(one)[one.ended("ok") & (one.stream > 0)] for one in runs])
    return float(np.percentile(took_ms, 99))


def _passed(runs: list[Samples]) -> int:
    """Answers of the loud one, those of its burst aside."""
    return sum(int((one.ended("ok") & (one.stream == 0) & (one.moments["due_s"] >= BURST_S)).sum()) for one in runs)


async def deadlines(trial: Trial) -> list[Row]:
    """Check 12: callers with less time than an answer takes, and an engine with a queue."""
    timeout_s, token_ms = 0.6, 50.0
    engine = trial.engine(**{"tokens": 20, "token-ms": token_ms, "first-token-ms": 50})
    await engine.start()
    try:
        async with gateways(trial.folder, engine, [Caller("acme")], cores=trial.server_cores) as servers:
            streams = [stream("all", trial.slots, servers.keys["acme/interactive"], timeout_s=timeout_s)]
            await servers.load(streams, seconds=trial.seconds, cores=trial.generator_cores, seed=trial.seed)
            await asyncio.sleep(1.0)
            seen = (await engine.stats())["seen"]
    finally:
        await engine.stop()
    budgets = [one["budget_ms"] for one in seen]
    late = sum(budget is None or budget <= 0 for budget in budgets)
    spoken = sum(one["sent_tokens"] for one in seen)
    over_s = [max(0.0, one["ended_s"] - one["came_s"] - one["budget_ms"] / 1000) for one in seen if one["ended_s"]]
    after = sum(over // (token_ms / 1000) for over in over_s)
    return [
        Row("calls of the engine", "", str(len(seen)), bool(seen)),
        Row("begun after the deadline", "0", str(late), late == 0),
        Row(
            "budget on the wire below the caller's",
            "all",
            f"{max(budgets)} of {timeout_s * 1000:.0f} ms",
            max(budgets) < timeout_s * 1000,
        ),
        Row("tokens after the deadline", "<= 1 %", f"{after / max(1, spoken):.2%}", after <= 0.01 * spoken),
    ]


async def failing(trial: Trial) -> list[Row]:
    """Check 13: the engine fails everything for a while, and comes back."""
    engine = trial.engine(**{"first-token-ms": 20})
    await engine.start()
    third = trial.seconds / 3
    rate = 0.4 * trial.slots / 0.25
    try:
        async with gateways(trial.folder, engine, [Caller("acme")], cores=trial.server_cores) as servers:
            streams = [stream("all", rate, servers.keys["acme/interactive"])]
            loading = asyncio.create_task(
                servers.load(streams, seconds=trial.seconds, cores=trial.generator_cores, seed=trial.seed), name="load"
            )
            loop = asyncio.get_running_loop()
            await asyncio.sleep(third)
            await engine.control(fault="status_500")
            broke_s, before = loop.time(), (await engine.stats())["requests"]
            await asyncio.sleep(third)
            failed = (await engine.stats())["requests"] - before
            await engine.control(fault="none")
            mended_s = loop.time()
            samples = await loading
            seen = (await engine.stats())["seen"]
    finally:
        await engine.stop()
    asked = rate * third
    tries = np.array([one["came_s"] for one in seen])
    opened_s = _opened(tries[(tries >= broke_s) & (tries < mended_s)], broke_s, rate)
    answers = np.array([one["came_s"] for one in seen if one["end"] == "complete" and one["came_s"] > mended_s])
    back_s = float(answers.min() - mended_s) if len(answers) else float("inf")
    after = tries[(tries > mended_s) & (tries < mended_s + 5)]
    bins = np.histogram(after, bins=np.arange(mended_s, mended_s + 5.01, 0.1))[0]
    most = float(bins.max() / max(1.0, rate * 0.1))
    errors = int(samples.ended("error").sum())
    return [
        Row(
            "attempts while it failed", "<= 1.2 x requests + 3", f"{failed} for {asked:.0f}", failed <= 1.2 * asked + 3
        ),
        Row("left alone after", "<= 2 s", f"{opened_s:.2f} s", opened_s <= 2.0),
        Row("answers again after", "<= 5 s", f"{back_s:.2f} s", back_s <= 5.0),
        Row("busiest 100 ms afterwards", "<= 2 x the mean", f"{most:.1f} x", most <= 2.0),
        Row("requests that failed for their callers", "", f"{errors} of {len(samples)}", True),
    ]


def _opened(tries: np.ndarray, broke_s: float, rate: float) -> float:
    """When the tries of a second had become less than a tenth of the requests."""
    for step in range(100):
        begin = broke_s + step * 0.1
        if ((tries >= begin) & (tries < begin + 1.0)).sum() < max(2.0, 0.1 * rate):
            return step * 0.1
    return float("inf")


CHECKS = {"overload": overload, "spike": spike, "neighbour": neighbour, "deadlines": deadlines, "failing": failing}
