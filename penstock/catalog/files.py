"""Uploaded files: names, owners, and which content each one has."""

from __future__ import annotations

import secrets
import sqlite3
import time
from typing import Any

import msgspec

from penstock.catalog.database import Database
from penstock.core.errors import InvalidRequest, NotFound
from penstock.core.types import StoredFile

FIELDS = StoredFile.__struct_fields__
COLUMNS = ", ".join(FIELDS)


class Files:
    """The files of all tenants; every question names the tenant."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def add(self, *, tenant: str, filename: str, purpose: str, sha256: str, size_bytes: int) -> StoredFile:
        """A new file, whether or not its content is known already."""
        file = new_file(tenant=tenant, filename=filename, purpose=purpose, sha256=sha256, size_bytes=size_bytes)
        marks = ", ".join("?" * len(FIELDS))
        await self._database.run(
            lambda connection: connection.execute(
                f"INSERT INTO files ({COLUMNS}) VALUES ({marks})",  # noqa: S608 - a constant of ours
                msgspec.structs.astuple(file),
            )
        )
        return file

    async def get(self, tenant: str, identifier: str) -> StoredFile:
        """Raises NotFound, the same for a foreign file as for none."""
        return await self._database.run(lambda connection: one_file(connection, tenant, identifier))

    async def page(
        self, tenant: str, *, purpose: str | None, after: str | None, limit: int, newest_first: bool
    ) -> tuple[list[StoredFile], bool]:
        """A page, and whether there is more behind it. Raises InvalidRequest for an unknown `after`."""

        def work(connection: sqlite3.Connection) -> tuple[list[StoredFile], bool]:
            where, values = ["tenant = ?"], [tenant]
            parameters: list[Any] = values
            if purpose is not None:
                where.append("purpose = ?")
                parameters.append(purpose)
            if after is not None:
                try:
                    last = one_file(connection, tenant, after)
                except NotFound as error:
                    raise InvalidRequest("'after' is not the id of one of your files.", param="after") from error
                where.append(f"(created_s, id) {'<' if newest_first else '>'} (?, ?)")
                parameters += [last.created_s, last.id]
            order = "DESC" if newest_first else "ASC"
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM files WHERE {' AND '.join(where)} "  # noqa: S608 - constants of ours
                f"ORDER BY created_s {order}, id {order} LIMIT ?",
                (*parameters, limit + 1),
            ).fetchall()
            return [_file(row) for row in rows[:limit]], len(rows) > limit

        return await self._database.run(work)

    async def forget(self, tenant: str, identifier: str) -> bool:
        """Take the file out; says whether its content is used by no other file. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> bool:
            file = one_file(connection, tenant, identifier)
            connection.execute("DELETE FROM files WHERE id = ?", (identifier,))
            used = connection.execute("SELECT 1 FROM files WHERE sha256 = ? LIMIT 1", (file.sha256,)).fetchone()
            return used is None

        return await self._database.run(work)

    async def contents(self) -> set[str]:
        """Hashes of everything that is to be kept, of all tenants."""

        def work(connection: sqlite3.Connection) -> set[str]:
            return {row[0] for row in connection.execute("SELECT DISTINCT sha256 FROM files")}

        return await self._database.run(work)


def new_file(*, tenant: str, filename: str, purpose: str, sha256: str, size_bytes: int) -> StoredFile:
    """A file with an id of its own, not yet in the catalog."""
    return StoredFile(
        id=f"file-{secrets.token_hex(12)}",
        tenant=tenant,
        filename=filename,
        purpose=purpose,
        sha256=sha256,
        size_bytes=size_bytes,
        created_s=time.time(),
    )


def one_file(connection: sqlite3.Connection, tenant: str, identifier: str) -> StoredFile:
    """In a transaction. Raises NotFound."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM files INDEXED BY files_by_owner WHERE tenant = ? AND id = ?",  # noqa: S608 - a constant of ours
        (tenant, identifier),
    ).fetchone()
    if row is None:
        raise NotFound("file", identifier)
    return _file(row)


def _file(row: tuple[Any, ...]) -> StoredFile:
    return StoredFile(**dict(zip(FIELDS, row, strict=True)))
