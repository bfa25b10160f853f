"""Answers that are kept so that a conversation can go on: per tenant, for a time, and only as long as their sources.

What was deleted must not live on in an answer that quotes it. So each answer is kept with the files it rests on, and
triggers of the schema take its text away in the very transaction that takes out one of them, whoever does that.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection

import msgspec

from penstock.catalog.database import Database
from penstock.core.errors import NotFound
from penstock.core.types import Principal, Value

Source = tuple[str, str]
"""A store's id, and a file's in it."""

FIELDS = ("id", "previous_id", "body", "input", "output")
READ = f"SELECT {', '.join(FIELDS)} FROM responses "  # noqa: S608 - constants of ours


class KeptResponse(Value, frozen=True):
    """One answer, in JSON. `output` is None once it was withdrawn: a file it rests on was deleted or replaced."""

    id: str
    previous_id: str | None
    body: str
    input: str
    output: str | None


class Turns(Value, frozen=True):
    """A conversation, oldest answer first, and what its answers rest on."""

    responses: tuple[KeptResponse, ...]
    sources: tuple[Source, ...]


class KeptResponses:
    """The answers of all tenants. A caller sees those of its tenant, asked by keys all of whose groups it has."""

    def __init__(self, *, database: Database, now_s: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now_s = now_s

    async def keep(
        self,
        response: KeptResponse,
        principal: Principal,
        *,
        sources: Collection[Source],
        cited: Collection[str],
        own_input: str | None,
        asked_s: float,
        expires_s: float,
    ) -> bool:
        """Durable when this returns. False: something that it rests on is not as it was at `asked_s`: it is withdrawn.

        `cited` are ids of files that its input names as sources; `own_input` is what stays of the input when it is
        withdrawn, where that is not all. `asked_s` and `expires_s` are Unix times.
        """

        def work(connection: sqlite3.Connection) -> bool:
            every = {*sources}
            for file_id in cited:
                every |= _stores_of(connection, principal.tenant, file_id)
            whole = all(_unchanged(connection, source, asked_s) for source in every)
            connection.execute(
                "INSERT INTO responses (id, tenant, groups, previous_id, body, input, own_input, output, "
                "created_s, expires_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    response.id,
                    principal.tenant,
                    msgspec.json.encode(principal.groups).decode(),
                    response.previous_id,
                    response.body,
                    response.input if whole else own_input or response.input,
                    own_input if whole else None,
                    response.output if whole else None,
                    asked_s,
                    expires_s,
                ),
            )
            connection.executemany(
                "INSERT INTO response_sources (response_id, store_id, file_id) VALUES (?, ?, ?)",
                [(response.id, *source) for source in every],
            )
            return whole

        return await self._database.run(work)

    async def get(self, principal: Principal, identifier: str) -> KeptResponse:
        """Raises NotFound, the same for a foreign answer as for none."""
        return await self._database.run(lambda connection: self._one(connection, principal, identifier))

    async def turns(self, principal: Principal, identifier: str, *, limit: int) -> Turns:
        """The answer and those before it, `limit` at most. A turn that is gone ends the way back. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> Turns:
            found = [self._one(connection, principal, identifier)]
            while len(found) < limit and (before := found[-1].previous_id) is not None:
                try:
                    found.append(self._one(connection, principal, before))
                except NotFound:
                    break
            speaking = [response.id for response in found if response.output is not None]
            marks = ", ".join("?" * len(speaking))
            rows = connection.execute(
                f"SELECT DISTINCT store_id, file_id FROM response_sources WHERE response_id IN ({marks})",  # noqa: S608 - marks only
                speaking,
            )
            return Turns(responses=tuple(reversed(found)), sources=tuple((row[0], row[1]) for row in rows))

        return await self._database.run(work)

    async def forget(self, principal: Principal, identifier: str) -> None:
        """Gone, and out of every conversation. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            self._one(connection, principal, identifier)
            connection.execute("DELETE FROM responses WHERE id = ?", (identifier,))

        await self._database.run(work)

    async def expire(self) -> int:
        """Take out what was kept long enough; says how many answers that were."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute("DELETE FROM responses WHERE expires_s <= ?", (self._now_s(),)).rowcount

        return await self._database.run(work)

    def _one(self, connection: sqlite3.Connection, principal: Principal, identifier: str) -> KeptResponse:
        where, values = "tenant = ? AND id = ? AND expires_s > ?", [principal.tenant, identifier, self._now_s()]
        if principal.key_id:
            mine = ", ".join("?" * len(principal.groups))
            where += (
                f" AND NOT EXISTS (SELECT 1 FROM json_each(responses.groups) WHERE value NOT IN ({mine})) "  # noqa: S608 - marks only
                # What rests on a file is for those only who may read the file now.
                "AND NOT EXISTS (SELECT 1 FROM response_sources JOIN store_files USING (store_id, file_id) "
                "WHERE response_id = responses.id AND store_files.groups != '[]' AND NOT EXISTS "
                f"(SELECT 1 FROM json_each(store_files.groups) WHERE value IN ({mine})))"
            )
            values += [*principal.groups, *principal.groups]
        row = connection.execute(f"{READ} INDEXED BY responses_by_owner WHERE {where}", values).fetchone()
        if row is None:
            raise NotFound("response", identifier)
        return KeptResponse(**dict(zip(FIELDS, row, strict=True)))


def _stores_of(connection: sqlite3.Connection, tenant: str, file_id: str) -> set[Source]:
    """Where the file is; nowhere is a place too, which has changed."""
    rows = connection.execute(
        "SELECT store_id FROM store_files JOIN stores ON stores.id = store_id WHERE tenant = ? AND file_id = ?",
        (tenant, file_id),
    ).fetchall()
    return {(row[0], file_id) for row in rows} or {("", file_id)}


def _unchanged(connection: sqlite3.Connection, source: Source, since_s: float) -> bool:
    """Whether the file stands in its store as it stood then."""
    row = connection.execute(
        "SELECT 1 FROM store_files JOIN stores ON stores.id = store_id "
        "WHERE store_id = ? AND file_id = ? AND version IS NOT NULL AND store_files.updated_s <= ? AND deleting = 0",
        (*source, since_s),
    )
    return row.fetchone() is not None
