"""The server under test: one that runs already, or one of our own over a data folder, on a free port."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import urlsplit

import aiohttp
import msgspec

from penstock.bench.exposition import Scrape, read_exposition
from penstock.core.errors import InvalidRequest, StageUnavailable

START_S = 120.0
STOP_S = 20.0
ANSWER_S = 10.0
OPEN_AT = re.compile(rb"Open\s+(http://\S+)")
PROGRAM = (
    "import os, sys\n"
    "if sys.argv[1]: os.sched_setaffinity(0, {int(core) for core in sys.argv[1].split(',')})\n"
    "del sys.argv[1]\n"
    "from penstock.cli import main\n"
    "main()\n"
)
"""Cores are set before anything is imported: threads inherit them from whoever starts them."""


class Address(msgspec.Struct, frozen=True):
    """Where a server listens; `pid` where it is ours to look at."""

    host: str
    port: int
    pid: int | None = None

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """Raises InvalidRequest."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise InvalidRequest(f"'{url}' is not an address: {error}.") from error
    if parts.scheme != "http" or not host or parts.path.rstrip("/") not in {"", "/v1"}:
        raise InvalidRequest(f"'{url}' is not the address of a server, as in http://127.0.0.1:8000 (plain HTTP).")
    return Address(host=host, port=port)


class Control:
    """Asks a server about itself, beside the load."""

    def __init__(self, *, address: Address, key: str = "") -> None:
        self._address = address
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def scrape(self) -> Scrape | None:
        """None where there are no metrics to be had."""
        try:
            return read_exposition(await self._get("/metrics"))
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None

    async def store(self, wanted: str) -> str:
        """The store to search: the one that is wanted, else the one with most files. Raises InvalidRequest."""
        if wanted:
            return wanted
        try:
            page = msgspec.json.decode(await self._get("/v1/vector_stores?limit=100"), type=_Stores)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
            raise InvalidRequest(
                f"{self._address.url} does not list its stores ({error}); name one: --store."
            ) from error
        if not page.data:
            raise InvalidRequest("The server has no stores. Read some documents first: penstock ingest PATH")
        return max(page.data, key=lambda store: store.file_counts.completed).id

    async def _get(self, path: str) -> str:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(headers=self._headers, timeout=timeout, raise_for_status=True) as session,
            session.get(self._address.url + path) as answer,
        ):
            return await answer.text()


class _Counts(msgspec.Struct, frozen=True):
    completed: int = 0


class _Store(msgspec.Struct, frozen=True):
    id: str
    file_counts: _Counts = _Counts()


class _Stores(msgspec.Struct):
    data: list[_Store]


@asynccontextmanager
async def started(*, data: Path, config: Path | None, cores: tuple[int, ...]) -> AsyncIterator[Address]:
    """`penstock serve` in a process of its own, stopped at the end. Raises StageUnavailable when it does not start."""
    if not data.is_dir():  # noqa: ASYNC240 - once, before anything runs
        raise InvalidRequest(f"There is no data folder {data}. Make one: penstock ingest PATH --data {data}")
    command = ["serve", "--data", str(data), "--port", "0", *(["--config", str(config)] if config else [])]
    with TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            ",".join(map(str, cores)),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        try:
            yield await _until_ready(process, errors)
        finally:
            await _stop(process)


async def _until_ready(process: asyncio.subprocess.Process, errors: IO[bytes]) -> Address:
    assert process.stdout is not None
    address: str | None = None
    try:
        async with asyncio.timeout(START_S):
            while address is None and (line := await process.stdout.readline()):
                found = OPEN_AT.search(line)
                address = found.group(1).decode("ascii") if found else None
    except TimeoutError:
        address = None
    if address is None:
        errors.seek(0)
        said = errors.read()[-2000:].decode("utf-8", "replace").strip()
        raise StageUnavailable("server under test", said or f"it did not start within {START_S:.0f} s.")
    return msgspec.structs.replace(parse_url(address), pid=process.pid)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.communicate()
        except TimeoutError:
            process.kill()
    await process.wait()


def cores_for(*, pin: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cores of the server and of the generator: the generator gets the last one to itself, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if not pin or len(cores) < 2:
        return (), ()
    return tuple(cores[:-1]), (cores[-1],)
