"""SIGHUP: read the settings again, and take over what can change while requests are served."""

from __future__ import annotations

import asyncio
import logging
import signal

from penstock.cli.session import Session
from penstock.core.errors import PenstockError
from penstock.flow.lifecycle import Tasks
from penstock.generate.generation import Generation

log = logging.getLogger("penstock.settings")


class Renewal:
    """Takes over the section `generate`; the other sections are read at the start only."""

    def __init__(self, *, session: Session, generation: Generation) -> None:
        self._session = session
        self._generation = generation
        self._asked = asyncio.Event()
        self._tasks = Tasks(name="settings", on_death=_log_death)

    def listen(self) -> None:
        """From now on the signal is heeded."""
        self._tasks.start("renew", self._renew_forever())
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)

    async def stop(self) -> None:
        """Ignore the signal: its default would end the process while it stops."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        await self._tasks.stop()

    async def _renew_forever(self) -> None:
        # One after the other: a second signal while the first is heeded means once more.
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                settings = await asyncio.to_thread(self._session.read_again)
                changes = await self._generation.become(settings.generate)
            except PenstockError as error:
                log.error("the settings stay as they were: %s", error.message)  # noqa: TRY400 - for people, who need no stack
            else:
                log.warning("settings read again: %s", "; ".join(changes) or "nothing has changed")


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
