"""`penstock up --watch`: folders are followed while the server runs."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from watchfiles import awatch

from penstock.assemble import Penstock
from penstock.cli.session import OWNER, Session
from penstock.core.errors import PenstockError
from penstock.flow.lifecycle import Tasks
from penstock.ingest.fetch import is_url
from penstock.pipeline.document import Progress

log = logging.getLogger("penstock.watch")

QUIET_MS = 700
"""Changes are taken up once nothing has changed for so long: an editor writes beside, renames, removes."""
AT_THE_LATEST_MS = 5_000
LOOK_ANYWAY_S = 300.0
"""A change that no event told of, as on some network drives, is found by looking."""


class Follower:
    """Owns one task: whenever something changes, the store is brought in step with the paths.

    Looking at everything costs a `stat` a file, and so a lost or doubled event, a rename or a half-written file does no
    harm: what is only half there is read again when the rest comes.
    """

    def __init__(self, penstock: Penstock, session: Session, *, paths: list[str], store_name: str) -> None:
        self._penstock = penstock
        self._session = session
        self._paths = paths
        self._store_name = store_name
        self._tasks = Tasks(name="watch", on_death=_log_death)
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Nothing happens where there is nothing to follow."""
        if self._paths:
            self._tasks.start("folders", self._follow())

    async def stop(self) -> None:
        self._stopping.set()
        await self._tasks.stop()

    async def _follow(self) -> None:
        folders = [Path(path) for path in self._paths if not is_url(path)]
        changes = awatch(
            *folders, debounce=AT_THE_LATEST_MS, step=QUIET_MS, stop_event=self._stopping,
            rust_timeout=AT_THE_LATEST_MS, yield_on_timeout=True,
        )  # fmt: skip
        looked_s = -LOOK_ANYWAY_S  # what changed before the watch began is found at its first breath
        async for changed in changes:
            if changed or time.monotonic() - looked_s > LOOK_ANYWAY_S:
                await self._in_step()
                looked_s = time.monotonic()

    async def _in_step(self) -> None:
        try:
            store = await self._penstock.store_for_writing(OWNER.tenant, self._store_name)
            ctx = self._session.context(priority="ingestion")
            _tell(await self._penstock.bring_in(store, self._paths, ctx, in_step=True))
        except PenstockError as error:
            # A full disk, an unmounted folder: the server goes on, and so does the watch.
            log.warning("the folders are not followed for now: %s", error.message)
            await asyncio.sleep(AT_THE_LATEST_MS / 1000)


def _tell(progress: Progress) -> None:
    if progress.completed or progress.removed or progress.remark:
        log.info("%d read, %d taken out. %s", progress.completed, progress.removed, progress.remark)


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died: folders are no longer followed", name, exc_info=error)
