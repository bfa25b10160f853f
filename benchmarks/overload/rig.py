"""The parts of a trial: a language model whose capacity is slots, gateways before it, callers with keys, a Redis."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from penstock.assemble import CATALOG_FILE
from penstock.bench.figures import Figures, Slo, figures
from penstock.bench.generator import Job
from penstock.bench.load import Load, Stream
from penstock.bench.plan import Target
from penstock.bench.questions import built_in
from penstock.bench.samples import Samples
from penstock.bench.server import Address, started
from penstock.bench.trial import generate
from penstock.catalog.database import Database
from penstock.catalog.keys import Keys, read_secret

SERVICE_S = 0.25


class Caller(msgspec.Struct, frozen=True):
    """Who will have a key."""

    tenant: str
    priority: Any = "interactive"


class Engine:
    """The fake language model in a process of its own, on the generator's core: it only counts time."""

    def __init__(self, *, slots: int, cores: Sequence[int], **behaviour: object) -> None:
        self._options = {"slots": slots, "first-token-ms": SERVICE_S * 1000, "tokens": 1, **behaviour}
        self._cores = cores
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = [word for name, value in self._options.items() for word in (f"--{name}", str(value))]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "penstock.bench.fake_llm", "--port", str(port), *options,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        if self._cores:
            os.sched_setaffinity(self._process.pid, self._cores)
        assert self._process.stdout is not None
        await self._process.stdout.readline()
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()

    async def control(self, **behaviour: object) -> None:
        async with aiohttp.ClientSession() as session, session.post(f"{self.url}/control", json=behaviour) as answer:
            answer.raise_for_status()

    async def stats(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/stats") as answer:
            found: dict[str, Any] = await answer.json()
            return found


class Gateways:
    """Servers with the same keys, each over a folder of its own, and the keys by caller."""

    def __init__(self, addresses: Sequence[Address], keys: Mapping[str, str]) -> None:
        self.addresses = addresses
        self.keys = keys

    async def load(self, streams: Sequence[Stream], *, seconds: float, cores: Sequence[int], seed: int) -> Samples:
        """Put one load on the first gateway, counted from the first second on."""
        return await self.at(self.addresses[0], streams, seconds=seconds, cores=cores, seed=seed)

    async def at(
        self, address: Address, streams: Sequence[Stream], *, seconds: float, cores: Sequence[int], seed: int
    ) -> Samples:
        target = Target(host=address.host, port=address.port, store="none", model="fake")
        load = Load(streams=tuple(streams), duration_s=seconds, warmup_s=0.0, seed=seed)
        return await generate(Job(load=load, questions=built_in(), target=target, cores=tuple(cores)))


def judged(
    samples: Samples, streams: Sequence[Stream], *, seconds: float, slo_ms: float, skip_s: float = 0.0
) -> Figures:
    """The figures of a load; the first seconds may be left out."""
    load = Load(streams=tuple(streams), duration_s=seconds - skip_s, warmup_s=skip_s)
    return figures(samples, load, Slo(latency_ms=slo_ms))


@asynccontextmanager
async def gateways(
    folder: Path,
    engine: Engine,
    callers: Sequence[Caller],
    *,
    count: int = 1,
    cores: Sequence[int] = (),
    more: str = "",
) -> AsyncIterator[Gateways]:
    """Servers over empty stores: what is measured is who gets to the engine, not the search before it."""
    first = folder / "0"
    first.mkdir(parents=True)
    keys = await _keys(first, callers)
    config = folder / "penstock.toml"
    config.write_text(
        f'[[generate.engines]]\nmodel = "fake"\nurls = ["{engine.url}/v1"]\nstreamed = true\n{more}', encoding="utf-8"
    )
    async with AsyncExitStack() as stack:
        addresses = []
        for number in range(count):
            data = folder / str(number)
            if number:
                shutil.copytree(first, data, ignore=shutil.ignore_patterns("lock"))
            addresses.append(data)
        servers = [
            await stack.enter_async_context(started(data=data, config=config, cores=tuple(cores))) for data in addresses
        ]
        yield Gateways(servers, keys)


async def _keys(folder: Path, callers: Sequence[Caller]) -> dict[str, str]:
    database = Database(path=folder / CATALOG_FILE)
    await database.start()
    secret, keys = read_secret(folder), Keys(database=database)
    made = {
        f"{caller.tenant}/{caller.priority}": (
            await keys.create(secret=secret, tenant=caller.tenant, priority=caller.priority)
        )[1]
        for caller in callers
    }
    await database.stop()
    return made


class Redis:
    """A server of this trial's own; nothing on disk."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        while b"Ready to accept" not in await self._process.stdout.readline():
            pass

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
