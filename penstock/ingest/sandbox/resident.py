"""Children that read many small Markdown and text files in turn.

A fork costs some milliseconds, several times what such a file takes to read. A resident is confined exactly as the
others are; what it gives up is that a file which took over the process (through a flaw in cmark or lexbor, C code that
is fuzzed all the time) could see and change the files that come after it. So a resident serves one tenant only, at
most FILES of them, and only kinds that are cheap to read; everything else, and every file on which a resident fails,
gets a process of its own. `ingest.isolate_every_file` switches residents off.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import msgspec

from penstock.ingest.parse.detect import is_cheap_name
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.sandbox.confine import result_bytes
from penstock.ingest.sandbox.handle import ZygoteHandle, ZygoteLost
from penstock.ingest.sandbox.wire import LENGTH_BYTES, Elsewhere, File, Outcome, decode_answer, packed

FILES = 500
SMALL_BYTES = 1024 * 1024
IDLE_S = 10.0


class Residents:
    """The residents of one program, at most `most` at rest. Use it from one event loop."""

    def __init__(self, *, limits: ParseLimits, most: int) -> None:
        self._limits = limits
        self._most = most
        self._resting: list[Resident] = []

    def suits(self, content: bytes, filename: str) -> bool:
        """Whether it is worth a try; the resident then looks at the content."""
        return len(content) <= SMALL_BYTES and is_cheap_name(filename)

    async def parse(self, helper: ZygoteHandle, content: bytes, filename: str, tenant: str) -> Outcome | None:
        """None: give the file a process of its own. Raises ZygoteLost."""
        resident = self._take(helper, tenant) or await Resident.begin(helper, self._limits, tenant)
        answer: Outcome | Elsewhere | None = None
        try:
            async with asyncio.timeout(self._limits.wall_s):
                answer = await resident.parse(content, filename)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, msgspec.MsgspecError):
            return None
        finally:
            if answer is None or resident.files >= FILES:
                resident.end()
            else:
                self._rest(resident)
        return None if isinstance(answer, Elsewhere) else answer

    def stop(self) -> None:
        for resident in self._resting:
            resident.end()
        self._resting.clear()

    def _take(self, helper: ZygoteHandle, tenant: str) -> Resident | None:
        for resident in self._resting:
            if resident.tenant == tenant and resident.helper is helper:
                self._resting.remove(resident)
                resident.wake()
                return resident
        return None

    def _rest(self, resident: Resident) -> None:
        self._resting.append(resident)
        resident.rest(self._end_idle)
        while len(self._resting) > self._most:
            self._resting.pop(0).end()

    def _end_idle(self, resident: Resident) -> None:
        if resident in self._resting:
            self._resting.remove(resident)
            resident.end()


class Resident:
    """One of them, seen from here."""

    def __init__(
        self,
        *,
        helper: ZygoteHandle,
        number: int,
        tenant: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.helper = helper
        self.tenant = tenant
        self.files = 0
        self._number = number
        self._reader = reader
        self._writer = writer
        self._limit_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def begin(cls, helper: ZygoteHandle, limits: ParseLimits, tenant: str) -> Resident:
        """Raises ZygoteLost."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                number = helper.serve(limits, theirs.fileno())
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except (ZygoteLost, OSError):
            ours.close()
            raise
        resident = cls(helper=helper, number=number, tenant=tenant, reader=reader, writer=writer)
        resident._limit_bytes = result_bytes(limits)
        return resident

    async def parse(self, content: bytes, filename: str) -> Outcome | Elsewhere:
        """Raises OSError, IncompleteReadError, MsgspecError: then it is of no more use."""
        self.files += 1
        self._writer.write(packed(File(filename=filename, content=content)))
        await self._writer.drain()
        length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
        if length > self._limit_bytes:
            raise OSError("The answer is larger than any may be.")
        return decode_answer(await self._reader.readexactly(length))

    def rest(self, when_idle: object) -> None:
        assert callable(when_idle)
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, when_idle, self)

    def wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """Close its socket, which ends it when it rests, and have it killed in case it does not."""
        self.wake()
        self._writer.close()
        with contextlib.suppress(ZygoteLost):
            self.helper.cancel(self._number)
