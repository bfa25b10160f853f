"""Which stores a request means."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.core.errors import InvalidRequest, NotFound
from penstock.core.types import FileStatus, Principal, Store

NOTED_EVERY_S = 3600.0
"""How exactly the last use of a store that expires is known: writing it down costs more than a search."""


MOST_STORES = 64
"""Searched for one question; each is a search of its own."""


class StoreCatalog(Protocol):
    """The stores of all tenants; every question names the tenant."""

    async def get(self, tenant: str, identifier: str) -> Store: ...

    async def list(self, tenant: str | None) -> list[Store]: ...

    async def touch(self, store_id: str) -> None: ...


class FileLedger(Protocol):
    """How a store's files are."""

    async def counts(self, store_id: str) -> Mapping[FileStatus, int]: ...

    async def usage_bytes(self, store_id: str) -> int: ...


async def used(catalog: StoreCatalog, store: Store) -> None:
    """The caller uses the store now: one that expires begins to wait again. Raises InvalidRequest for one that has."""
    if store.expires_s is None:
        return
    now_s = time.time()
    if store.expires_s <= now_s:
        raise InvalidRequest(
            f"Vector store '{store.id}' has expired. Set 'expires_after' again to use it.", code="vector_store_expired"
        )
    if now_s - store.last_active_s > NOTED_EVERY_S:
        await catalog.touch(store.id)


async def stores_meant(catalog: StoreCatalog, principal: Principal, named: Sequence[str] | None) -> tuple[Store, ...]:
    """The stores named by id or name, each once; all of the caller's when none is named.

    Raises NotFound; InvalidRequest where all would be more than can be searched for one question.
    """
    if named is None:
        now_s = time.time()
        stores = await catalog.list(principal.tenant)
        if len(stores) > MOST_STORES:
            raise InvalidRequest(
                f"You have {len(stores)} vector stores. Name those to look in, {MOST_STORES} at most.",
                param="vector_store_ids",
                code="missing_required_parameter",
            )
        return tuple(store for store in stores if store.expires_s is None or store.expires_s > now_s)
    found: dict[str, Store] = {}
    for position, name in enumerate(named):
        try:
            store = await catalog.get(principal.tenant, name)
        except NotFound as error:
            raise NotFound("vector store", name, param=f"vector_store_ids[{position}]") from error
        await used(catalog, store)
        found[store.id] = store
    return tuple(found.values())
