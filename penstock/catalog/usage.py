"""What tenants used of language models, summed by day."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from penstock.catalog.database import Database
from penstock.core.types import Value

SUMS = ("requests", "broken", "prompt", "cached", "output", "price", "spoken", "first_token_s", "speaking_s")


class Used(Value, frozen=True):
    """Sums of one tenant's use of one model; `spoken` counts the requests in which a first token came."""

    tenant: str
    model: str
    requests: int = 0
    broken: int = 0
    prompt: int = 0
    cached: int = 0
    output: int = 0
    price: float = 0.0
    spoken: int = 0
    first_token_s: float = 0.0
    speaking_s: float = 0.0


class UsageDays:
    """The sums of all tenants."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def add(self, day: str, rows: Sequence[Used]) -> None:
        """Add to the sums of a day, `2026-11-26`; all rows or none."""
        added = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
        statement = (
            f"INSERT INTO usage (tenant, day, model, {', '.join(SUMS)}) VALUES (?, ?, ?{', ?' * len(SUMS)}) "  # noqa: S608 - constants of ours
            f"ON CONFLICT (tenant, day, model) DO UPDATE SET {added}"
        )
        values = [(row.tenant, day, row.model, *(getattr(row, name) for name in SUMS)) for row in rows]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, values)

        await self._database.run(work)

    async def since(self, day: str, *, tenant: str | None) -> list[Used]:
        """Sums from a day on, of one tenant or, with None, of every one; by tenant and model."""
        sums = ", ".join(f"sum({name})" for name in SUMS)
        statement = (
            f"SELECT tenant, model, {sums} FROM usage WHERE day >= ? AND (?2 IS NULL OR tenant = ?2) "  # noqa: S608 - likewise
            "GROUP BY tenant, model ORDER BY tenant, model"
        )

        def work(connection: sqlite3.Connection) -> list[Used]:
            rows = connection.execute(statement, (day, tenant)).fetchall()
            return [Used(tenant=row[0], model=row[1], **dict(zip(SUMS, row[2:], strict=True))) for row in rows]

        return await self._database.run(work)
