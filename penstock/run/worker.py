"""A worker: takes attached files through the document's way, several groups at once. In the server, or beside it."""

from __future__ import annotations

import asyncio
import logging

from penstock.core.errors import PenstockError
from penstock.flow.lifecycle import Tasks
from penstock.pipeline.work import Work

log = logging.getLogger("penstock.worker")

LANES = 2
"""Groups under way at once: while one is read, the other is embedded and written."""
WAIT_S = 5.0
"""How long a look for something to do waits for it."""
AFTER_ERROR_S = 1.0
LONGEST_AFTER_ERROR_S = 10.0


class UploadWorker:
    """Owns a task a lane. What it was doing when stopped is another's at once; when killed, when its leases run out."""

    def __init__(self, *, work: Work, lanes: int = LANES) -> None:
        self._work = work
        self._lanes = lanes
        self._tasks = Tasks(name="worker", on_death=_log_death)

    def start(self) -> None:
        for lane in range(self._lanes):
            self._tasks.start(f"lane-{lane}", self._run())

    async def stop(self) -> None:
        """Break off what is under way and give it back."""
        await self._tasks.stop()
        await self._work.stop()

    async def _run(self) -> None:
        pause_s = AFTER_ERROR_S
        while True:
            try:
                await self._work.step(wait_s=WAIT_S)
                pause_s = AFTER_ERROR_S
            except Exception as error:
                # Whatever it was: accepted files wait in the catalog, and a worker that has ended would never do them.
                if isinstance(error, PenstockError):
                    log.warning("no work for %g seconds: %s", pause_s, error.message)
                else:
                    log.exception("no work for %g seconds", pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_AFTER_ERROR_S, 2 * pause_s)


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
