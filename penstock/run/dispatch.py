"""What the server does for all workers: carries jobs to the queue, and takes those of workers that fell silent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from penstock.core.errors import PenstockError
from penstock.flow.lifecycle import Tasks
from penstock.pipeline.uploads import Uploads

log = logging.getLogger("penstock.dispatch")

LOOK_AGAIN_S = 2.0
"""How long a job waits that a command beside the server has put into the catalog."""
LOOK_FOR_LOST_EVERY_S = 15.0
AFTER_ERROR_S, LONGEST_AFTER_ERROR_S = 0.2, 5.0


class Dispatch:
    """Owns three tasks. Stopped at any moment, it leaves everything in the catalog."""

    def __init__(self, *, uploads: Uploads) -> None:
        self._uploads = uploads
        self._tasks = Tasks(name="dispatch", on_death=_log_death)

    def start(self) -> None:
        every_s = self._uploads.desk.lease_s / 4
        self._tasks.start("outbox", self._forever(self._carry, 0.0))
        self._tasks.start("leases", self._forever(self._expire, every_s))
        self._tasks.start("lost", self._forever(self._look_for_lost, LOOK_FOR_LOST_EVERY_S))

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _carry(self) -> None:
        outbox = self._uploads.outbox
        outbox.wake.clear()
        if await outbox.carry():
            return
        try:
            async with asyncio.timeout(LOOK_AGAIN_S):
                await outbox.wake.wait()
        except TimeoutError:
            return

    async def _expire(self) -> None:
        expired = await self._uploads.jobs.expire(now_s=time.time())
        if expired:
            log.warning("%d jobs of a worker that fell silent wait again", expired)
            self._uploads.metrics.leases_lost.inc(expired)
        for state, count in (await self._uploads.jobs.counts()).items():
            self._uploads.metrics.jobs.labels(state).set(count)
        self._uploads.metrics.workers.set(len(self._uploads.desk.workers))

    async def _look_for_lost(self) -> None:
        lost = await self._uploads.outbox.look_for_lost()
        if lost:
            log.error("the queue has lost %d jobs; they are sent again", lost)

    async def _forever(self, work: Callable[[], Awaitable[None]], every_s: float) -> None:
        pause_s = AFTER_ERROR_S
        while True:
            try:
                await work()
                pause_s = AFTER_ERROR_S
                await asyncio.sleep(every_s)
            except Exception as error:
                if not isinstance(error, PenstockError | TimeoutError):
                    log.exception("dispatching")
                elif pause_s == AFTER_ERROR_S:  # once an outage
                    log.warning("jobs wait in the catalog: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_AFTER_ERROR_S, 2 * pause_s)


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
