"""The zygote as the server sees it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
from pathlib import Path

import msgspec

import penstock
from penstock.core.errors import BadDocument
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import LanguageData
from penstock.ingest.sandbox.wire import (
    LENGTH_BYTES,
    Cancel,
    Confinement,
    Ended,
    Job,
    Reply,
    Request,
    Serve,
    decode_reply,
    packed,
)

GRACE_S = 5.0
"""Beyond a job's own time limit: after that the zygote itself does not work."""
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
START = "import sys; sys.path.append(sys.argv.pop()); from penstock.ingest.sandbox.zygote import main; main()"
# One thread: a process with several cannot be forked safely, and a child cannot start any.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LC_ALL": "C.UTF-8",
}


class ZygoteLost(Exception):
    """The zygote ended or does not answer; the job may be given to a new one."""


class ZygoteHandle:
    """One zygote process. `begin` starts it, `stop` ends it with all its children."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket, confinement: Confinement) -> None:
        self.confinement = confinement
        self.is_gone = False
        self.peak_bytes = 0
        """The most memory that one file has taken."""
        self._process = process
        self._channel = channel
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Ended]] = {}
        self._listener = asyncio.create_task(self._listen(), name="parse-listen")

    @classmethod
    async def begin(cls, language_data: LanguageData | None = None) -> ZygoteHandle:
        """Start the process and wait until it is ready; with language data it can read scans. Raises BadDocument
        (internal).
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        root = str(Path(penstock.__file__).parent.parent)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-c", START, str(theirs.fileno()), msgspec.json.encode(language_data).decode(), root),
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
            await process.communicate()  # to the end of its output, so that nothing stays open
            raise BadDocument("internal", "The process that parses files does not start.") from error
        return cls(process, ours, hello)

    async def run(self, filename: str, size: int, limits: ParseLimits, content: int, result: int) -> Ended:
        """Have one file parsed. Raises ZygoteLost."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(Job(number=number, filename=filename, size_bytes=size, limits=limits), [content, result])
            async with asyncio.timeout(limits.longest_s + GRACE_S):
                ended: Ended = await waiting
            self.peak_bytes = max(self.peak_bytes, ended.peak_bytes)
            return ended
        except TimeoutError as error:
            self._process.kill()
            raise ZygoteLost from error
        finally:
            del self._waiting[number]
            if not waiting.done() or waiting.cancelled():
                with contextlib.suppress(ZygoteLost):
                    self.cancel(number)

    def serve(self, limits: ParseLimits, channel: int) -> int:
        """Start a resident that reads files from `channel`; its number. Raises ZygoteLost."""
        number = next(self._numbers)
        self._send(Serve(number=number, limits=limits), [channel])
        return number

    def cancel(self, number: int) -> None:
        """Kill a child; nothing happens when it has ended. Raises ZygoteLost."""
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
            socket.send_fds(self._channel, [packed(request)], descriptors)
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


async def _reply(process: asyncio.subprocess.Process) -> Reply:
    assert process.stdout is not None
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
    return decode_reply(await process.stdout.readexactly(length))
