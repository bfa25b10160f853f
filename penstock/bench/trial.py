"""One run of one load against one server: the generator works, the meter looks, the figures are drawn up."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from tempfile import TemporaryFile

import msgspec

from penstock.bench.exposition import BATCHES, LOOP_LAG, STAGES, Scrape, Spread, spreads
from penstock.bench.figures import Figures, Slo, figures
from penstock.bench.generator import Job
from penstock.bench.meter import MetricsMeter, ProcMeter, Reading, Usage, usage
from penstock.bench.samples import Samples, unpack
from penstock.bench.server import Address, Control
from penstock.core.errors import StageUnavailable

LOOK_S = {"proc": 0.2, "metrics": 1.0}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to. `label` names the configuration where two are compared."""

    label: str
    rate: float
    """Asked for, in requests a second; 0 for a closed loop."""
    seed: int
    figures: Figures
    usage: Usage | None
    server_stages_ms: dict[str, Spread]
    """From the server's histograms, warm-up and unanswered requests included."""
    batch_items: dict[str, float]
    """Mean size of the batches of a stage."""
    loop_lag_ms: Spread | None

    @property
    def cpu_ms_per_answer(self) -> float | None:
        """Processor time of the server for each answer it gave, refusals included in the cost."""
        answered = self.figures.served.answered_per_s
        return round(self.usage.cpu_cores * 1000 / answered, 3) if self.usage and answered else None


async def run(job: Job, *, address: Address, control: Control, slo: Slo, label: str = "") -> Trial:
    """Raises StageUnavailable when the generator fails, which includes that nobody listens."""
    before = await control.scrape()
    meter = _meter(address, control, before)
    readings: list[Reading] = []
    looking = asyncio.create_task(_look(meter, readings), name="bench meter") if meter else None
    try:
        samples = await generate(job)
    finally:
        if looking is not None:
            looking.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await looking
    after = await control.scrape()
    begin_s = samples.zero_s + job.load.warmup_s
    return Trial(
        label=label,
        rate=round(job.load.rate, 3),
        seed=job.load.seed,
        figures=figures(samples, job.load, slo),
        usage=usage(readings, from_s=begin_s, until_s=begin_s + job.load.duration_s, source=meter.source)
        if meter
        else None,
        server_stages_ms=_grown(before, after, STAGES, factor=1000.0),
        batch_items={name: spread.mean for name, spread in _grown(before, after, BATCHES).items()},
        loop_lag_ms=_grown(before, after, LOOP_LAG, factor=1000.0).get(""),
    )


async def generate(job: Job) -> Samples:
    """Let a process of its own send the load. Raises StageUnavailable with what it said."""
    # Files, not pipes: with uvloop, megabytes that a process wrote just before it ended may come through cut short.
    with TemporaryFile() as asked, TemporaryFile() as seen, TemporaryFile() as said:
        asked.write(msgspec.json.encode(job))
        asked.seek(0)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "penstock.bench.generator", stdin=asked, stdout=seen, stderr=said
        )
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        seen.seek(0)
        said.seek(0)
        if process.returncode != 0:
            raise StageUnavailable("load generator", said.read().decode("utf-8", "replace").strip()[-2000:])
        return unpack(seen.read())


def _grown(before: Scrape | None, after: Scrape | None, name: str, *, factor: float = 1.0) -> dict[str, Spread]:
    if before is None or after is None:
        return {}
    return spreads(before, after, name, factor=factor)


def _meter(address: Address, control: Control, before: Scrape | None) -> ProcMeter | MetricsMeter | None:
    if address.pid is not None:
        return ProcMeter(address.pid)
    if before is not None and before.value("process_cpu_seconds_total") is not None:
        return MetricsMeter(control.scrape)
    return None


async def _look(meter: ProcMeter | MetricsMeter, readings: list[Reading]) -> None:
    while True:
        reading = await meter.read()
        if reading is not None:
            readings.append(reading)
        await asyncio.sleep(LOOK_S[meter.source])
