"""What language models were used for, kept: the account's sums move into the catalog every few seconds.

A crash loses what was counted since the last time; a stop loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from penstock.catalog.usage import SUMS, UsageDays, Used
from penstock.core.errors import PenstockError
from penstock.flow.lifecycle import Tasks
from penstock.generate.account import Account

log = logging.getLogger("penstock.usage")

FLUSH_EVERY_S = 10.0


class UsageBook:
    """`start` begins to move sums, `stop` moves the last ones."""

    def __init__(self, *, account: Account, days: UsageDays, now_s: Callable[[], float] = time.time) -> None:
        self._account = account
        self._days = days
        self._now_s = now_s
        self._one_at_a_time = asyncio.Lock()
        self._tasks = Tasks(name="usage", on_death=_log_death)

    def start(self) -> None:
        self._tasks.start("flush", self._flush_forever())

    async def stop(self) -> None:
        """Move what is left. A catalog that cannot be written to keeps nobody from stopping."""
        await self._tasks.stop()
        await self._try_to_flush()

    async def used(self, *, since: str, tenant: str | None) -> Sequence[Used]:
        """Sums from a day on (`2026-11-26`, UTC), up to now; of one tenant or, with None, of every one."""
        await self.flush()
        return await self._days.since(since, tenant=tenant)

    async def flush(self) -> None:
        """Move what has been counted so far. Raises what the catalog raises, with nothing lost."""
        async with self._one_at_a_time:
            fresh = self._account.take()
            if not fresh:
                return
            rows = [
                Used(tenant=tenant, model=model, **{name: getattr(totals, name) for name in SUMS})
                for (tenant, model), totals in fresh.items()
            ]
            try:
                await self._days.add(time.strftime("%Y-%m-%d", time.gmtime(self._now_s())), rows)
            except BaseException:
                self._account.give_back(fresh)
                raise

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self._try_to_flush()

    async def _try_to_flush(self) -> None:
        try:
            await self.flush()
        except PenstockError:
            log.exception("usage cannot be written to the catalog; it is kept in memory")


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
