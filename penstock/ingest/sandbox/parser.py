"""The server's side of the sandbox: one file in, a document or a reason out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec

from penstock.core.errors import BadDocument
from penstock.core.types import Document
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import LanguageData
from penstock.ingest.sandbox.handle import ZygoteHandle, ZygoteLost
from penstock.ingest.sandbox.resident import Residents
from penstock.ingest.sandbox.wire import Confinement, Ended, Failed, Outcome, decode_outcome

SMALL_BYTES = 256 * 1024
"""Up to here copying takes less time than handing over to a thread."""
CRASHES = frozenset({-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGABRT, -signal.SIGTRAP})


class Parser:
    """Bytes become a document, in a process of their own.

    The helper process is started with the first file, not with the program: many programs never parse one.
    Files beyond `workers` wait for their turn. Use it from one event loop. With language data it reads scans.
    """

    def __init__(
        self,
        *,
        limits: ParseLimits,
        workers: int,
        isolate_every_file: bool = False,
        language_data: LanguageData | None = None,
    ) -> None:
        self._limits = limits
        self._language_data = language_data
        self._turns = asyncio.Semaphore(workers)
        self._starting = asyncio.Lock()
        self._helper: ZygoteHandle | None = None
        self._residents = None if isolate_every_file else Residents(limits=limits, most=workers)
        self._copier = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parse-copy")

    async def start(self) -> None:
        """Nothing to do ahead."""

    async def stop(self) -> None:
        """End the helper process; files under way fail as if it had died."""
        if self._residents is not None:
            self._residents.stop()
        helper, self._helper = self._helper, None
        if helper is not None:
            await helper.stop()
        self._copier.shutdown()

    @property
    def peak_bytes(self) -> int:
        """The most memory that a file in a process of its own has taken, since the helper process was started."""
        return self._helper.peak_bytes if self._helper is not None else 0

    async def confinement(self) -> Confinement:
        """What holds a parsing process on this machine."""
        return (await self._running()).confinement

    async def parse(self, content: bytes, *, filename: str, tenant: str = "default") -> Document:
        """Raises BadDocument. Cancelling it ends the file's process.

        Only files of one tenant ever share a process.
        """
        if len(content) > self._limits.max_file_bytes:
            raise BadDocument(
                "too_large", f"It has {len(content):,} bytes; {self._limits.max_file_bytes:,} are allowed."
            )
        async with self._turns:
            for _ in range(2):
                try:
                    return _read(await self._outcome(content, filename, tenant))
                except ZygoteLost:
                    continue  # a new one is started; a file that ends it twice is to blame
        raise BadDocument("internal", "The process that parses files ended twice while it read this one.")

    async def _outcome(self, content: bytes, filename: str, tenant: str) -> Outcome:
        helper = await self._running()
        if self._residents is not None and self._residents.suits(content, filename):
            outcome = await self._residents.parse(helper, content, filename, tenant)
            if outcome is not None:
                return outcome
        return await self._alone(helper, content, filename)

    async def _alone(self, helper: ZygoteHandle, content: bytes, filename: str) -> Outcome:
        """In a process for this file only."""
        loop = asyncio.get_running_loop()
        with _scratch("content") as source, _scratch("result") as result:
            if len(content) <= SMALL_BYTES:
                _fill(source, content)
            else:
                await loop.run_in_executor(self._copier, _fill, source, content)
            ended = await helper.run(filename, len(content), self._limits, source, result)
            size = os.fstat(result).st_size
            if size <= SMALL_BYTES:
                return _result(result, size, ended, self._limits)
            return await loop.run_in_executor(self._copier, _result, result, size, ended, self._limits)

    async def _running(self) -> ZygoteHandle:
        async with self._starting:
            if self._helper is None or self._helper.is_gone:
                if self._helper is not None:
                    await self._helper.stop()
                self._helper = await ZygoteHandle.begin(self._language_data)
            return self._helper


def _read(outcome: Outcome) -> Document:
    """Raises BadDocument."""
    if isinstance(outcome, Failed):
        raise BadDocument(outcome.reason, outcome.message)
    return outcome.document


@contextlib.contextmanager
def _scratch(name: str) -> Iterator[int]:
    """The descriptor of a file without a name, in memory where the system has that.

    A child may write into what it was given and nowhere else, up to the limit of file sizes: so a result is bounded.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(f"penstock-{name}", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _fill(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _result(result: int, size: int, ended: Ended, limits: ParseLimits) -> Outcome:
    """What the child left behind, or what its end means."""
    memory = Failed(reason="memory", message=f"Reading it takes more than {limits.memory_bytes // 1024**2} MiB.")
    if ended.timed_out or ended.code in {-signal.SIGXCPU, -signal.SIGALRM}:
        limit_s = limits.wall_s if ended.code == -signal.SIGALRM else limits.longest_s
        return Failed(reason="timeout", message=f"Reading it takes more than {limit_s:g} s.")
    if ended.code in CRASHES and ended.peak_bytes < limits.memory_bytes // 2:
        return Failed(reason="corrupt", message="The program that reads this format crashed on it.")
    if ended.code in CRASHES or ended.code == -signal.SIGKILL:
        return memory
    if ended.code != 0:
        return Failed(reason="internal", message=f"The process that read it ended with code {ended.code}.")
    try:
        return decode_outcome(os.pread(result, size, 0))
    except msgspec.MsgspecError as error:
        return Failed(reason="internal", message=f"The process that read it answered nonsense: {error}.")
