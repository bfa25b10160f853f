"""Which stores a request means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.core.errors import NotFound
from penstock.core.types import FileStatus, Principal, Store


class StoreCatalog(Protocol):
    """The stores of all tenants; every question names the tenant."""

    async def get(self, tenant: str, identifier: str) -> Store: ...

    async def list(self, tenant: str | None) -> list[Store]: ...


class FileLedger(Protocol):
    """How a store's files are."""

    async def counts(self, store_id: str) -> Mapping[FileStatus, int]: ...

    async def usage_bytes(self, store_id: str) -> int: ...


async def stores_meant(catalog: StoreCatalog, principal: Principal, named: Sequence[str] | None) -> tuple[Store, ...]:
    """The stores named by id or name, each once; all of the caller's when none is named. Raises NotFound."""
    if named is None:
        return tuple(await catalog.list(principal.tenant))
    found: dict[str, Store] = {}
    for position, name in enumerate(named):
        try:
            store = await catalog.get(principal.tenant, name)
        except NotFound as error:
            raise NotFound("vector store", name, param=f"vector_store_ids[{position}]") from error
        found[store.id] = store
    return tuple(found.values())
