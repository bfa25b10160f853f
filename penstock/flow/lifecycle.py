"""Tasks with an owner and a name, and an order of starting and stopping with its reasons.

    tasks = Tasks(name="store", on_death=lifecycle.fail)
    tasks.start("flush", self._flush_forever())

    lifecycle = Lifecycle()
    lifecycle.add("catalog", start=db.open, stop=db.close, because="everything reads it")
    lifecycle.add("gateway", start=server.start, stop=server.stop, because="takes requests only when all else runs")
    async with lifecycle:
        await lifecycle.until_stopped(signal_event)

Parts start in the order of adding and stop in the reverse, each within its own time, so that whatever a part uses is
there as long as it is. A part that fails to start stops those before it. A part that fails to stop does not keep the
others from stopping; all failures are raised together at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import msgspec

from penstock.core.context import MONOTONIC, Clock

OnDeath = Callable[[str, BaseException], None]
"""Hears the name of a task that ended by an exception, and the exception."""


class Tasks:
    """The background tasks of one owner. A task that dies is told to `on_death` at once, never when collected."""

    def __init__(self, *, name: str, on_death: OnDeath) -> None:
        self._name = name
        self._on_death = on_death
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def names(self) -> list[str]:
        """Who is at work, sorted."""
        return sorted(task.get_name() for task in self._tasks)

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` as `owner:name` until it ends or `stop` is called."""
        if self._stopping:
            work.close()
            raise RuntimeError(f"'{self._name}' is stopping and starts no '{name}'")
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel all and wait until they have ended."""
        self._stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._on_death(task.get_name(), error)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is started and stopped. `because` says why it stands where it stands in the order."""

    name: str
    start: Callable[[], Awaitable[None]] | None
    stop: Callable[[], Awaitable[None]] | None
    because: str
    start_within_s: float
    stop_within_s: float


class Step(msgspec.Struct, frozen=True):
    """One step that was taken, for the log: what, of which part, how long, and how it failed."""

    action: str
    part: str
    took_s: float
    error: str = ""


class Lifecycle:
    """Starts parts in order and stops them in reverse; see the head of this file."""

    def __init__(self, *, observe: Callable[[Step], None] | None = None, clock: Clock = MONOTONIC) -> None:
        self._parts: list[Part] = []
        self._started: list[Part] = []
        self._observe = observe
        self._clock = clock
        self._death: asyncio.Future[tuple[str, BaseException]] | None = None
        self._early_death: tuple[str, BaseException] | None = None

    @property
    def order(self) -> list[tuple[str, str]]:
        """Each part's name and the reason for its place, in the order of starting."""
        return [(part.name, part.because) for part in self._parts]

    def add(
        self,
        name: str,
        *,
        start: Callable[[], Awaitable[None]] | None = None,
        stop: Callable[[], Awaitable[None]] | None = None,
        because: str,
        start_within_s: float = 60.0,
        stop_within_s: float = 30.0,
    ) -> None:
        part = Part(
            name=name,
            start=start,
            stop=stop,
            because=because,
            start_within_s=start_within_s,
            stop_within_s=stop_within_s,
        )
        self._parts.append(part)

    def fail(self, name: str, error: BaseException) -> None:
        """A helper task has died: `until_stopped` raises. Give this to Tasks as `on_death`."""
        if self._death is None:
            self._early_death = self._early_death or (name, error)
        elif not self._death.done():
            self._death.set_result((name, error))

    async def until_stopped(self, stop: asyncio.Event) -> None:
        """Wait for `stop`. Raises RuntimeError, naming the task, when a helper dies before."""
        self._death = asyncio.get_running_loop().create_future()
        if self._early_death is not None:
            self._death.set_result(self._early_death)
        asked = asyncio.ensure_future(stop.wait())
        try:
            waited: list[asyncio.Future[Any]] = [asked, self._death]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._death.done():
                name, error = self._death.result()
                raise RuntimeError(f"The task '{name}' has died: {error!r}") from error
        finally:
            asked.cancel()

    async def start(self) -> None:
        """Start all parts. When one fails, those already started are stopped, and its error is raised."""
        for part in self._parts:
            try:
                await self._take("start", part, part.start, part.start_within_s)
            except BaseException:
                await self.stop()
                raise
            self._started.append(part)

    async def stop(self) -> None:
        """Stop what was started, last first. Raises BaseExceptionGroup of what failed, after all were tried."""
        errors: list[Exception] = []
        while self._started:
            part = self._started.pop()
            try:
                await self._take("stop", part, part.stop, part.stop_within_s)
            except Exception as error:  # noqa: BLE001 - raised below, when the others have been stopped
                errors.append(error)
        if errors:
            raise ExceptionGroup("some parts did not stop cleanly", errors)

    async def _take(self, action: str, part: Part, call: Callable[[], Awaitable[None]] | None, within_s: float) -> None:
        if call is None:
            return
        began_s = self._clock.now_s()
        error = ""
        try:
            async with asyncio.timeout(within_s):
                await call()
        except BaseException as raised:
            error = repr(raised)
            raise
        finally:
            if self._observe is not None:
                self._observe(Step(action, part.name, self._clock.now_s() - began_s, error))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
