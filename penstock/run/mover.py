"""Moves stores to `embed.next` while the server runs."""

from __future__ import annotations

import asyncio
import logging

from penstock.core.errors import NotFound, PenstockError
from penstock.core.types import Store
from penstock.flow.lifecycle import Tasks
from penstock.pipeline.moving import Moving

log = logging.getLogger("penstock.mover")

EVERY_S = 60.0
"""How long a store that could not be moved waits for the next try."""


class Mover:
    """Owns a task that ends when all stores have moved, and one for each index that is still to be closed."""

    def __init__(self, *, moving: Moving, linger_s: float) -> None:
        """A store's former index stays open for `linger_s`: as long as a request may take."""
        self._moving = moving
        self._linger_s = linger_s
        self._tasks = Tasks(name="mover", on_death=_log_death)

    def start(self) -> None:
        self._tasks.start("move", self._run())

    async def stop(self) -> None:
        """Break off; the next start goes on from there."""
        await self._tasks.stop()

    async def _run(self) -> None:
        while waiting := await self._moving.waiting():
            moved = [await self._moved(store) for store in waiting]
            if not all(moved):
                await asyncio.sleep(EVERY_S)
        log.warning("all stores answer with embed.next: make it embed.model now, and leave embed.next empty")

    async def _moved(self, store: Store) -> bool:
        log.warning("store '%s' moves from the encoder %s", store.name, store.embedder)
        try:
            done = await self._moving.move(store)
        except NotFound:
            return True  # deleted meanwhile
        except PenstockError as error:
            log.warning("store '%s' could not be moved for now: %s", store.name, error.message)
            return False
        except Exception:
            # It answers as before; other stores and the server have nothing to do with it.
            log.exception("store '%s' could not be moved for now", store.name)
            return False
        log.warning("store '%s' has moved: %d files, %d passages encoded", store.name, done.files, done.encoded)
        self._tasks.start(f"leave {store.id}", self._leave(store))
        return True

    async def _leave(self, store: Store) -> None:
        """The next store does not wait for it."""
        await asyncio.sleep(self._linger_s)
        await self._moving.leave(store)


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died: stores are no longer moved", name, exc_info=error)
