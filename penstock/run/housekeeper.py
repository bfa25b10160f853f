"""Removes what had its time: answers kept long enough, and uploads in parts that nobody completed."""

from __future__ import annotations

import asyncio
import logging

from penstock.catalog.responses import KeptResponses
from penstock.flow.lifecycle import Tasks
from penstock.pipeline.partial import PartialKeeper

log = logging.getLogger("penstock.housekeeper")

EVERY_S = 60.0
"""What has expired is seen by nobody at once; this is how long it stays on the disk."""


class Housekeeper:
    """Owns one task."""

    def __init__(self, *, kept: KeptResponses, partial: PartialKeeper) -> None:
        self._kept = kept
        self._partial = partial
        self._tasks = Tasks(name="housekeeper", on_death=_log_death)

    def start(self) -> None:
        self._tasks.start("expire", self._run())

    async def stop(self) -> None:
        await self._tasks.stop()

    async def tidy(self) -> None:
        """Once."""
        await self._kept.expire()
        await self._partial.expire()

    async def _run(self) -> None:
        while True:
            try:
                await self.tidy()
            except Exception:
                # A catalog or disk that cannot be used now may be used in a minute; nothing else depends on this.
                log.exception("what has expired stays for another %g seconds", EVERY_S)
            await asyncio.sleep(EVERY_S)


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
