"""The worker inside the server: takes attached files through the document's way, one group at a time."""

from __future__ import annotations

import asyncio
import logging

from penstock.flow.lifecycle import Tasks
from penstock.pipeline.work import UploadWork

log = logging.getLogger("penstock.worker")

LOOK_AGAIN_S = 30.0
"""How long it sleeps at most when nothing is said to wait."""
AFTER_ERROR_S = 5.0
"""How long it leaves a catalog or disk alone that could not be used."""


class UploadWorker:
    """Owns one task. What it was doing when stopped, or killed, waits in the catalog for the next start."""

    def __init__(self, *, work: UploadWork) -> None:
        self._work = work
        self._tasks = Tasks(name="worker", on_death=_log_death)

    def start(self) -> None:
        self._tasks.start("uploads", self._run())

    async def stop(self) -> None:
        """Break off what is under way and settle it."""
        await self._tasks.stop()
        await self._work.stop()

    async def _run(self) -> None:
        while True:
            try:
                if not await self._work.step():
                    await self._work.wait(at_most_s=LOOK_AGAIN_S)
            except Exception:
                # Whatever it was: accepted files wait in the catalog, and a worker that has ended would never do them.
                log.exception("the work is left alone for %g seconds", AFTER_ERROR_S)
                await asyncio.sleep(AFTER_ERROR_S)


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
