"""The server's side of the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

import penstock
from penstock.core.errors import BadDocument
from penstock.core.types import Document
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.sandbox.wire import (
    LENGTH_BYTES,
    Cancel,
    Confinement,
    Ended,
    Failed,
    Job,
    Request,
    decode_outcome,
    decode_reply,
    framed,
)

SMALL_BYTES = 256 * 1024
"""Up to here copying takes less time than handing over to a thread."""
GRACE_S = 5.0
"""Beyond a job's own time limit: after that the zygote itself does not work."""
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
CRASHES = frozenset({-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGABRT, -signal.SIGTRAP})
START = "import sys; sys.path.append(sys.argv.pop()); from penstock.ingest.sandbox.zygote import main; main()"
# One thread: a process with several cannot be forked safely.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}


class ZygoteLost(Exception):  # noqa: N818 - it is what happened
    """The helper process ended or does not answer; the job may be given to a new one."""


class Parser:
    """Bytes become a document, in a process of their own.

    The helper process is started with the first file, not with the program: many programs never parse one.
    Files beyond `workers` wait for their turn. Use it from one event loop.
    """

    def __init__(self, *, limits: ParseLimits, workers: int) -> None:
        self._limits = limits
        self._turns = asyncio.Semaphore(workers)
        self._starting = asyncio.Lock()
        self._helper: _Helper | None = None
        self._copier = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parse-copy")

    async def start(self) -> None:
        """Nothing to do ahead."""

    async def stop(self) -> None:
        """End the helper process; files under way fail as if it had died."""
        helper, self._helper = self._helper, None
        if helper is not None:
            await helper.stop()
        self._copier.shutdown()

    async def confinement(self) -> Confinement:
        """What holds a parsing process on this machine."""
        return (await self._running()).confinement

    async def parse(self, content: bytes, *, filename: str) -> Document:
        """Raises BadDocument. Cancelling it ends the file's process."""
        if len(content) > self._limits.max_file_bytes:
            raise BadDocument(
                "too_large", f"It has {len(content):,} bytes; {self._limits.max_file_bytes:,} are allowed."
            )
        async with self._turns:
            for _ in range(2):
                try:
                    return await self._parse(content, filename)
                except ZygoteLost:
                    continue  # a new one is started; a file that kills it twice is to blame
            raise BadDocument("internal", "The process that parses files ended twice while it read this one.")

    async def _parse(self, content: bytes, filename: str) -> Document:
        helper = await self._running()
        loop = asyncio.get_running_loop()
        with _scratch("content") as source, _scratch("result") as result:
            if len(content) <= SMALL_BYTES:
                _fill(source, content)
            else:
                await loop.run_in_executor(self._copier, _fill, source, content)
            ended = await helper.run(filename, len(content), self._limits, source, result)
            size = os.fstat(result).st_size
            if size <= SMALL_BYTES:
                return _document(result, size, ended, self._limits)
            return await loop.run_in_executor(self._copier, _document, result, size, ended, self._limits)

    async def _running(self) -> _Helper:
        async with self._starting:
            if self._helper is None or self._helper.is_gone:
                if self._helper is not None:
                    await self._helper.stop()
                self._helper = await _Helper.begin()
            return self._helper


class _Helper:
    """The zygote as seen from here."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket, confinement: Confinement) -> None:
        self.confinement = confinement
        self.is_gone = False
        self._process = process
        self._channel = channel
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Ended]] = {}
        self._listener = asyncio.create_task(self._listen(), name="parse-listen")

    @classmethod
    async def begin(cls) -> _Helper:
        """Start the process and wait until it is ready. Raises BadDocument (internal)."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        root = str(Path(penstock.__file__).parent.parent)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-c", START, str(theirs.fileno()), root),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env=ENVIRONMENT,
                cwd="/",
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                hello = await _reply(process)
            assert isinstance(hello, Confinement)
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            ours.close()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise BadDocument("internal", "The process that parses files does not start.") from error
        return cls(process, ours, hello)

    async def run(self, filename: str, size: int, limits: ParseLimits, content: int, result: int) -> Ended:
        """Have one file parsed. Raises ZygoteLost."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        job = Job(number=number, filename=filename, size_bytes=size, limits=limits)
        try:
            self._send(job, [content, result])
            async with asyncio.timeout(limits.wall_s + GRACE_S):
                return await waiting
        except TimeoutError as error:
            self._process.kill()
            raise ZygoteLost from error
        finally:
            del self._waiting[number]
            if not waiting.done() or waiting.cancelled():
                with contextlib.suppress(ZygoteLost):
                    self._send(Cancel(number=number), [])

    async def stop(self) -> None:
        self._channel.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._listener

    def _send(self, request: Request, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._channel, [framed(request)], descriptors)
        except OSError as error:
            # Also when the buffer is full: it holds hundreds of requests, so nobody reads them.
            self.is_gone = True
            raise ZygoteLost from error

    async def _listen(self) -> None:
        """Hand on how children ended, until the process is gone; then nobody waits in vain."""
        try:
            while True:
                reply = await _reply(self._process)
                if isinstance(reply, Ended) and (waiting := self._waiting.get(reply.number)) and not waiting.done():
                    waiting.set_result(reply)
        except (asyncio.IncompleteReadError, msgspec.MsgspecError):
            self.is_gone = True
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ZygoteLost())


async def _reply(process: asyncio.subprocess.Process) -> Confinement | Ended:
    assert process.stdout is not None
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
    return decode_reply(await process.stdout.readexactly(length))


@contextlib.contextmanager
def _scratch(name: str):  # type: ignore[no-untyped-def]
    """The descriptor of a file without a name, in memory where the system has that."""
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


def _document(result: int, size: int, ended: Ended, limits: ParseLimits) -> Document:
    """Raises BadDocument."""
    if ended.timed_out or ended.code in {-signal.SIGXCPU, -signal.SIGALRM}:
        raise BadDocument("timeout", f"Reading it takes more than {limits.wall_s:g} s.")
    if ended.code in CRASHES and ended.peak_bytes < limits.memory_bytes // 2:
        raise BadDocument("corrupt", "The program that reads this format crashed on it.")
    if ended.code in CRASHES or ended.code == -signal.SIGKILL:
        raise BadDocument("memory", f"Reading it takes more than {limits.memory_bytes // (1024 * 1024)} MiB of memory.")
    if ended.code != 0:
        raise BadDocument("internal", f"The process that read it ended with code {ended.code}.")
    try:
        outcome = decode_outcome(os.pread(result, size, 0))
    except msgspec.MsgspecError as error:
        raise BadDocument("internal", f"The process that read it answered nonsense: {error}.") from error
    if isinstance(outcome, Failed):
        raise BadDocument(outcome.reason, outcome.message)
    return outcome.document
