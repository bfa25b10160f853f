"""What every command starts from: the settings, and the assembled program for as long as the command runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from penstock.assemble import Penstock
from penstock.config import Settings
from penstock.core.context import Context, Priority, start_context
from penstock.core.errors import InvalidRequest
from penstock.core.types import Principal, Store
from penstock.settings import Loaded

OWNER = Principal()
"""Who the command line acts for: the default tenant, with every right."""

A_YEAR_S = 365 * 24 * 3600.0
"""Deadline of work that may take as long as it takes."""


class Session(msgspec.Struct, frozen=True):
    """One run of the command line."""

    loaded: Loaded
    read: Callable[[], Loaded]
    """Reads them anew, from the same file, variables and options."""

    def read_again(self) -> Settings:
        """The settings as they are now. Raises BadSetting."""
        return self.read().settings

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @asynccontextmanager
    async def assembled(self, *, address: str = "", encoder: bool = True) -> AsyncIterator[Penstock]:
        """The program, started, and stopped at the end. `address` tells others who holds the data folder."""
        penstock = Penstock(settings=self.settings, environ=os.environ)
        try:
            await penstock.start(address=address, encoder=encoder)
            yield penstock
        finally:
            await penstock.stop()

    def context(self, *, timeout_s: float = A_YEAR_S, priority: Priority = "interactive") -> Context:
        return start_context(principal=OWNER, timeout_s=timeout_s, priority=priority)


async def stores_named(penstock: Penstock, names: list[str]) -> tuple[Store, ...]:
    """These stores, or all of them. Raises NotFound, and InvalidRequest when there are none yet."""
    if names:
        return tuple([await penstock.stores.get(OWNER.tenant, name) for name in names])
    everything = await penstock.stores.list(OWNER.tenant)
    if not everything:
        raise InvalidRequest("There is nothing to ask yet. Read some documents first: penstock ingest PATH")
    return tuple(everything)
