"""Vector stores: which there are, whose they are, and which model made their vectors."""

from __future__ import annotations

import hashlib
import sqlite3
import time

from penstock.catalog.database import Database
from penstock.core.errors import NotFound
from penstock.core.types import Store

COLUMNS = "id, tenant, name, embedder, dimension, created_s"


class Stores:
    """The stores of all tenants; every question names the tenant."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def named(self, tenant: str, name: str, *, embedder: str, dimension: int) -> Store:
        """The tenant's store made under that name before, or made now."""
        identifier = derived_id(tenant, name)

        def work(connection: sqlite3.Connection) -> Store:
            connection.execute(
                "INSERT INTO stores (id, tenant, name, embedder, dimension, created_s) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO NOTHING",
                (identifier, tenant, name, embedder, dimension, time.time()),
            )
            return _one(connection, tenant, identifier)

        return await self._database.run(work)

    async def get(self, tenant: str, identifier: str) -> Store:
        """By id, or by name. Raises NotFound, the same for a foreign store as for none."""

        def work(connection: sqlite3.Connection) -> Store:
            try:
                return _one(connection, tenant, identifier)
            except NotFound:
                return _one(connection, tenant, derived_id(tenant, identifier), asked=identifier)

        return await self._database.run(work)

    async def list(self, tenant: str | None) -> list[Store]:
        """The tenant's stores, oldest first; all tenants' when None, for the process itself."""

        def work(connection: sqlite3.Connection) -> list[Store]:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM stores WHERE ? IS NULL OR tenant = ? ORDER BY created_s, id",  # noqa: S608 - a constant of ours
                (tenant, tenant),
            )
            return [_store(row) for row in rows]

        return await self._database.run(work)

    async def delete(self, tenant: str, identifier: str) -> None:
        """Take the store and its ledger out of the catalog. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            gone = connection.execute("DELETE FROM stores WHERE tenant = ? AND id = ?", (tenant, identifier))
            if gone.rowcount == 0:
                raise NotFound("vector store", identifier)

        await self._database.run(work)


def derived_id(tenant: str, name: str) -> str:
    """The id of the store that goes by this name: the same on every machine, so a repeated ingestion finds it."""
    digest = hashlib.blake2b(b"\0".join([tenant.encode(), name.encode()]), digest_size=12)
    return f"vs_{digest.hexdigest()}"


def _one(connection: sqlite3.Connection, tenant: str, identifier: str, *, asked: str | None = None) -> Store:
    query = f"SELECT {COLUMNS} FROM stores WHERE tenant = ? AND id = ?"  # noqa: S608 - a constant of ours
    row = connection.execute(query, (tenant, identifier)).fetchone()
    if row is None:
        raise NotFound("vector store", asked or identifier)
    return _store(row)


def _store(row: tuple[str, str, str, str, int, float]) -> Store:
    identifier, tenant, name, embedder, dimension, created_s = row
    return Store(id=identifier, tenant=tenant, name=name, embedder=embedder, dimension=dimension, created_s=created_s)
