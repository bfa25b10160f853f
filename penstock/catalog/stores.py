"""Vector stores: which there are, whose they are, and which model made their vectors."""

from __future__ import annotations

import builtins
import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from penstock.catalog.database import Database
from penstock.core.errors import NotFound
from penstock.core.types import Store

FIELDS = Store.__struct_fields__
COLUMNS = ", ".join(FIELDS)
INSERT = f"INSERT INTO stores ({COLUMNS}) VALUES ({', '.join('?' * len(FIELDS))})"  # noqa: S608 - a constant of ours
BY_ID = "INDEXED BY stores_by_owner WHERE tenant = ? AND id = ? AND deleting = 0"
"""By this index a foreign store takes as long as one that does not exist (schema_6.sql)."""
BY_NAME = "WHERE tenant = ? AND deleting = 0 AND name = ? ORDER BY created_s, id LIMIT 1"

T = TypeVar("T")


class Stores:
    """The stores of all tenants; every question names the tenant. What is being deleted is gone for all of them.

    `get` is asked by every search, so it remembers what it found until a store is changed. Weakness: it knows of no
    change but those made here, which is all of them as long as one process holds the data folder.
    """

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._memory = database.stores_seen

    async def named(self, tenant: str, name: str, *, embedder: str, dimension: int) -> Store:
        """The tenant's oldest store of that name, or one made now; its id is the same on every machine."""

        def work(connection: sqlite3.Connection) -> Store:
            known = _find(connection, BY_NAME, (tenant, name))
            if known is not None:
                return known
            identifier = derived_id(tenant, name)
            if connection.execute("SELECT 1 FROM stores WHERE id = ?", (identifier,)).fetchone():
                identifier = random_id()  # it goes by another name now
            return _insert(connection, _new(identifier, tenant, name, embedder, dimension))

        return await self._database.run(work)

    async def create(
        self,
        tenant: str,
        name: str,
        *,
        embedder: str,
        dimension: int,
        metadata: Mapping[str, str] | None = None,
        expires_after_days: int | None = None,
    ) -> Store:
        """A new store. Names need not differ."""
        store = msgspec.structs.replace(
            _new(random_id(), tenant, name, embedder, dimension),
            metadata=dict(metadata or {}),
            expires_after_days=expires_after_days,
        )
        return await self._database.run(lambda connection: _insert(connection, store))

    async def get(self, tenant: str, identifier: str) -> Store:
        """By id, or by name (the oldest of that name). Raises NotFound, the same for a foreign store as for none."""
        known = self._memory.get((tenant, identifier))
        if known is not None:
            return known
        seen = self._memory.changes

        def work(connection: sqlite3.Connection) -> Store:
            store = _find(connection, BY_ID, (tenant, identifier)) or _find(connection, BY_NAME, (tenant, identifier))
            if store is None:
                raise NotFound("vector store", identifier)
            return store

        store = await self._database.run(work)
        if seen == self._memory.changes:  # else it may have been read before a change that is made already
            self._memory.keep((tenant, identifier), store)
        return store

    async def _change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.run(work)
        finally:
            self._memory.forget()

    async def list(self, tenant: str | None) -> list[Store]:
        """The tenant's stores, oldest first; all tenants' when None, for the process itself."""

        def work(connection: sqlite3.Connection) -> list[Store]:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM stores WHERE (? IS NULL OR tenant = ?) AND deleting = 0 "  # noqa: S608 - a constant of ours
                "ORDER BY created_s, id",
                (tenant, tenant),
            )
            return [_store(row) for row in rows]

        return await self._database.run(work)

    async def modify(self, tenant: str, identifier: str, **changes: Any) -> Store:
        """Change `name`, `metadata` or `expires_after_days`. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> Store:
            store = _find(connection, BY_ID, (tenant, identifier))
            if store is None:
                raise NotFound("vector store", identifier)
            store = msgspec.structs.replace(store, **changes)
            connection.execute(
                "UPDATE stores SET name = ?, metadata = ?, expires_after_days = ? WHERE id = ?",
                (store.name, msgspec.json.encode(store.metadata).decode(), store.expires_after_days, store.id),
            )
            return store

        return await self._change(work)

    async def switch(self, store: Store, *, embedder: str, dimension: int) -> Store:
        """From now on the store answers with another encoder's vectors, which are there already.

        Whoever works on a file with the former encoder has lost it.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE stores SET embedder = ?, dimension = ? WHERE id = ?", (embedder, dimension, store.id)
            )
            connection.execute(
                "UPDATE store_files SET status = 'queued' WHERE store_id = ? AND status IN ('parsing', 'embedding')",
                (store.id,),
            )
            connection.execute("UPDATE jobs SET lease = NULL, leased_until_s = NULL WHERE store_id = ?", (store.id,))

        await self._change(work)
        return msgspec.structs.replace(store, embedder=embedder, dimension=dimension)

    async def touch(self, store_id: str) -> None:
        """The store was used now: what is to expire when left alone begins again."""
        now_s = time.time()
        await self._change(
            lambda connection: connection.execute("UPDATE stores SET last_active_s = ? WHERE id = ?", (now_s, store_id))
        )

    async def hide(self, tenant: str, identifier: str) -> Store:
        """Begin to delete: from now on nobody sees it, also after a crash. `forget` ends it. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> Store:
            store = _find(connection, BY_ID, (tenant, identifier))
            if store is None:
                raise NotFound("vector store", identifier)
            connection.execute("UPDATE stores SET deleting = 1 WHERE id = ?", (identifier,))
            return store

        return await self._change(work)

    async def hidden(self) -> builtins.list[Store]:
        """Stores whose deletion has begun, of all tenants."""

        def work(connection: sqlite3.Connection) -> builtins.list[Store]:
            query = f"SELECT {COLUMNS} FROM stores WHERE deleting = 1 ORDER BY id"  # noqa: S608 - a constant of ours
            return [_store(row) for row in connection.execute(query)]

        return await self._database.run(work)

    async def forget(self, store_id: str) -> None:
        """Take a hidden store and its ledger out of the catalog; its folder must be gone already."""
        await self._database.run(
            lambda connection: connection.execute("DELETE FROM stores WHERE id = ? AND deleting = 1", (store_id,))
        )


def derived_id(tenant: str, name: str) -> str:
    """The id of a store made by name: the same on every machine, so a repeated ingestion finds it."""
    digest = hashlib.blake2b(b"\0".join([tenant.encode(), name.encode()]), digest_size=12)
    return f"vs_{digest.hexdigest()}"


def random_id() -> str:
    return f"vs_{secrets.token_hex(12)}"


def _new(identifier: str, tenant: str, name: str, embedder: str, dimension: int) -> Store:
    now_s = time.time()
    return Store(
        id=identifier,
        tenant=tenant,
        name=name,
        embedder=embedder,
        dimension=dimension,
        created_s=now_s,
        last_active_s=now_s,
    )


def _insert(connection: sqlite3.Connection, store: Store) -> Store:
    values = msgspec.structs.asdict(store)
    values["metadata"] = msgspec.json.encode(store.metadata).decode()
    connection.execute(INSERT, tuple(values[name] for name in FIELDS))
    return store


def _find(connection: sqlite3.Connection, where: str, values: tuple[str, ...]) -> Store | None:
    row = connection.execute(f"SELECT {COLUMNS} FROM stores {where}", values).fetchone()  # noqa: S608 - constants of ours
    return None if row is None else _store(row)


def _store(row: tuple[Any, ...]) -> Store:
    values = dict(zip(FIELDS, row, strict=True))
    values["metadata"] = msgspec.json.decode(values["metadata"])
    return Store(**values)
