"""An experiment: loads, one after another, against one server or two configurations of it by turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from penstock import __version__
from penstock.bench.capacity import CapacitySearch
from penstock.bench.compare import order, ratios
from penstock.bench.figures import Slo
from penstock.bench.generator import Job
from penstock.bench.load import Load
from penstock.bench.plan import Target
from penstock.bench.questions import Questions
from penstock.bench.report import Capacity, Report, commit, configuration, describe_machine
from penstock.bench.server import Address, Control, cores_for, parse_url, started
from penstock.bench.trace import read_trace
from penstock.bench.trial import Trial, run
from penstock.core.errors import InvalidRequest

PAUSE_S = 0.5
"""Between runs: what the last one left in the server's queues is gone."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. Either `url` or `data`; `against` only with `data`, whose server it starts anew for each leg."""

    load: Load
    questions: Questions
    slo: Slo = Slo()
    url: str = ""
    data: Path | None = None
    config: Path | None = None
    against: Path | None = None
    store: str = ""
    model: str = ""
    limit: int = 5
    rates: tuple[float, ...] = ()
    find_capacity: bool = False
    repeats: int = 1
    pin: bool = False
    give_up_s: float = 30.0

    def check(self) -> None:
        """Raises InvalidRequest for what does not go together."""
        if bool(self.url) == (self.data is not None):
            raise InvalidRequest("Say what to test: --url of a server that runs, or --data to start one.")
        if self.url and (self.against or self.config):
            raise InvalidRequest("Configurations are tried on a server of ours: give --data instead of --url.")
        if (self.rates or self.find_capacity) and self.load.closed:
            raise InvalidRequest("A closed loop has no rate: its callers send when they have an answer.")
        if self.rates and self.find_capacity:
            raise InvalidRequest("Either --rates or --find-capacity.")
        for stream in self.load.streams:
            stream.api_key()
            if stream.trace:
                read_trace(Path(stream.trace))


class Rig:
    """Runs one experiment; `report` is called after each run."""

    def __init__(self, *, experiment: Experiment, report: Callable[[Trial], None]) -> None:
        self._experiment = experiment
        self._report = report
        self._trials: list[Trial] = []
        self._capacities: list[Capacity] = []
        self._server_cores, self._generator_cores = cores_for(pin=experiment.pin)

    async def run(self) -> Report:
        """Raises InvalidRequest, BadSetting and StageUnavailable."""
        experiment = self._experiment
        experiment.check()
        machine, began_at = describe_machine(), datetime.now(UTC).isoformat(timespec="seconds")
        configurations = self._configurations()
        if experiment.against is None:
            async with self._server(experiment.config) as address:
                for repeat in range(experiment.repeats):
                    await self._leg("", repeat, address)
        else:
            for place, label in enumerate(order(experiment.repeats)):
                async with self._server(experiment.config if label == "A" else experiment.against) as address:
                    await self._leg(label, place // 2, address)
        return Report(
            version=__version__,
            commit=commit(),
            machine=machine,
            began_at=began_at,
            seed=experiment.load.seed,
            load=[stream.described() for stream in experiment.load.streams],
            duration_s=experiment.load.duration_s,
            warmup_s=experiment.load.warmup_s,
            questions=experiment.questions.source,
            slo=experiment.slo,
            pinned=experiment.pin,
            configurations=configurations,
            trials=self._trials,
            capacities=self._capacities,
            ratios=list(ratios(self._trials)) if experiment.against and not experiment.find_capacity else [],
        )

    async def _leg(self, label: str, repeat: int, address: Address) -> None:
        """All rates once, against one server."""
        experiment = self._experiment
        control = Control(address=address, key=experiment.load.streams[0].api_key())
        target = Target(
            host=address.host,
            port=address.port,
            store=await control.store(experiment.store),
            model=experiment.model,
            limit=experiment.limit,
        )
        load = experiment.load.seeded(experiment.load.seed + repeat)
        if experiment.find_capacity:
            await self._find_capacity(label, repeat, load, target, address, control)
            return
        for rate in experiment.rates or (load.rate,):
            await self._try(label, load if load.closed else load.at(rate), target, address, control)

    async def _find_capacity(
        self, label: str, repeat: int, load: Load, target: Target, address: Address, control: Control
    ) -> None:
        search = CapacitySearch(first_rate=load.rate)
        while (rate := search.next_rate) is not None:
            trial = await self._try(label, load.at(rate), target, address, control)
            search.tell(carried=trial.figures.served.good_share >= self._experiment.slo.share)
        self._capacities.append(Capacity(label, repeat, round(search.carried, 3), round(search.refused, 3)))

    async def _try(self, label: str, load: Load, target: Target, address: Address, control: Control) -> Trial:
        experiment = self._experiment
        job = Job(
            load=load,
            questions=experiment.questions,
            target=target,
            give_up_s=experiment.give_up_s,
            cores=self._generator_cores,
        )
        if self._trials:
            await asyncio.sleep(PAUSE_S)
        trial = await run(job, address=address, control=control, slo=experiment.slo, label=label)
        self._trials.append(trial)
        self._report(trial)
        return trial

    @asynccontextmanager
    async def _server(self, config: Path | None) -> AsyncIterator[Address]:
        if self._experiment.data is None:
            yield parse_url(self._experiment.url)
            return
        async with started(data=self._experiment.data, config=config, cores=self._server_cores) as address:
            yield address

    def _configurations(self) -> dict[str, dict[str, object]]:
        experiment = self._experiment
        if experiment.data is None:
            return {}
        if experiment.against is None:
            return {"": configuration(experiment.config)}
        return {"A": configuration(experiment.config), "B": configuration(experiment.against)}
