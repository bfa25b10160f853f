"""Rows of the ledger, one or a page: what stands in a store, for whoever may see it."""

from __future__ import annotations

import sqlite3
from typing import Any, Literal

from penstock.catalog.ledger import COLUMNS, record_of
from penstock.core.errors import InvalidRequest, NotFound
from penstock.core.types import FileRecord, Value

Shown = Literal["in_progress", "completed", "failed", "cancelled"]
AT_REST = "('completed', 'failed', 'cancelled')"
READ = f"SELECT {COLUMNS} FROM store_files "  # noqa: S608 - a constant of ours


class Page(Value, frozen=True):
    """Which rows to list. `groups` is None for whoever may see all."""

    limit: int
    newest_first: bool = True
    after: str | None = None
    before: str | None = None
    shown: Shown | None = None
    groups: tuple[str, ...] | None = None
    batch_id: str | None = None


def one_row(connection: sqlite3.Connection, store_id: str, file_id: str) -> FileRecord:
    """In a transaction. Raises NotFound."""
    row = connection.execute(f"{READ} WHERE store_id = ? AND file_id = ?", (store_id, file_id)).fetchone()
    if row is None:
        raise NotFound("file", file_id)
    return record_of(row)


def page_of(connection: sqlite3.Connection, store_id: str, page: Page) -> tuple[list[FileRecord], bool]:
    """In a transaction. Raises InvalidRequest for an unknown cursor."""
    where, values = ["store_id = ?"], [store_id]
    parameters: list[Any] = values
    if page.batch_id is not None:
        where.append("file_id IN (SELECT file_id FROM batch_files WHERE batch_id = ?)")
        parameters.append(page.batch_id)
    if page.shown == "in_progress":
        where.append(f"status NOT IN {AT_REST}")
    elif page.shown is not None:
        where.append("status = ?")
        parameters.append(page.shown)
    if page.groups is not None:
        marks = ", ".join("?" * len(page.groups))
        where.append(f"(groups = '[]' OR EXISTS (SELECT 1 FROM json_each(groups) WHERE value IN ({marks})))")  # noqa: S608 - marks only
        parameters += page.groups
    backwards = page.before is not None and page.after is None
    descending = page.newest_first != backwards
    for param, cursor in (("after", page.after), ("before", page.before)):
        if cursor is not None:
            try:
                at = one_row(connection, store_id, cursor)
            except NotFound as error:
                raise InvalidRequest(f"'{param}' is not the id of a file of this store.", param=param) from error
            where.append(f"(created_s, file_id) {'<' if (param == 'after') == page.newest_first else '>'} (?, ?)")
            parameters += [at.created_s, at.file_id]
    order = "DESC" if descending else "ASC"
    rows = connection.execute(
        f"{READ} WHERE {' AND '.join(where)} ORDER BY created_s {order}, file_id {order} LIMIT ?",
        (*parameters, page.limit + 1),
    ).fetchall()
    records = [record_of(row) for row in rows[: page.limit]]
    return (records[::-1] if backwards else records), len(rows) > page.limit
