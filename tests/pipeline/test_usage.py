"""What language models were used for survives a restart, and a catalog that cannot be written to."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.catalog.database import Database
from penstock.catalog.usage import UsageDays, Used
from penstock.core.errors import StageUnavailable
from penstock.core.types import Usage
from penstock.generate.account import Account, Bill
from penstock.pipeline.usage import UsageBook

NOV_26_S = 1_795_700_000.0
DAY_S = 86_400.0


def bill(tenant: str = "a", *, complete: bool = True) -> Bill:
    return Bill(
        tenant=tenant,
        model="llama",
        usage=Usage(prompt=100, cached=60, output=20),
        first_token_s=0.2,
        total_s=1.2,
        price=0.5,
        complete=complete,
    )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(path=tmp_path / "catalog.db")
    await database.start()
    yield database
    await database.stop()


async def test_sums_are_kept_by_day_tenant_and_model_and_go_on_after_a_restart(database: Database) -> None:
    days = UsageDays(database=database)
    for now_s in (NOV_26_S, NOV_26_S, NOV_26_S + DAY_S):
        account = Account()
        book = UsageBook(account=account, days=days, now_s=lambda now_s=now_s: now_s)
        book.start()
        account.add(bill())
        account.add(bill("b", complete=False))
        await book.stop()

    every = await book.used(since="2026-11-01", tenant=None)
    last_day = await book.used(since="2026-11-27", tenant="a")

    assert [(row.tenant, row.requests, row.broken) for row in every] == [("a", 3, 0), ("b", 3, 3)]
    assert last_day == [
        Used(
            tenant="a",
            model="llama",
            requests=1,
            prompt=100,
            cached=60,
            output=20,
            price=0.5,
            spoken=1,
            first_token_s=0.2,
            speaking_s=1.0,
        )
    ]


async def test_what_could_not_be_written_is_counted_later(database: Database) -> None:
    account = Account()
    book = UsageBook(account=account, days=UsageDays(database=database), now_s=lambda: NOV_26_S)
    account.add(bill())

    def hide(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE usage RENAME TO hidden")

    def show(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE hidden RENAME TO usage")

    await database.run(hide)
    with pytest.raises(StageUnavailable):
        await book.flush()
    account.add(bill())
    await database.run(show)

    [row] = await book.used(since="2026-11-26", tenant=None)
    assert (row.requests, row.price) == (2, 1.0)
