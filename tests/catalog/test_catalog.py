from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest

from penstock.catalog.database import Database
from penstock.catalog.keys import Keys
from penstock.catalog.ledger import Ledger
from penstock.catalog.stores import Stores
from penstock.core.errors import DataDamaged, NotFound
from penstock.core.types import FileRecord


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(path=tmp_path / "catalog.db")
    await database.start()
    yield database
    await database.stop()


async def test_a_store_is_made_once_under_a_name(database: Database) -> None:
    stores = Stores(database=database)

    first = await stores.named("t", "docs", embedder="m", dimension=3)
    again = await stores.named("t", "docs", embedder="other", dimension=4)

    assert again == first
    assert await stores.get("t", "docs") == first
    assert await stores.get("t", first.id) == first
    assert await stores.list("t") == [first]


async def test_another_tenants_store_reads_like_none(database: Database) -> None:
    stores = Stores(database=database)
    mine = await stores.named("mine", "docs", embedder="m", dimension=3)

    with pytest.raises(NotFound) as foreign:
        await stores.get("other", mine.id)
    with pytest.raises(NotFound) as unknown:
        await stores.get("other", "vs_0")

    assert foreign.value.message.replace(mine.id, "X") == unknown.value.message.replace("vs_0", "X")
    assert await stores.list("other") == []
    with pytest.raises(NotFound):
        await stores.hide("other", mine.id)
    assert await stores.list(None) == [mine]


async def test_deleting_a_store_forgets_its_files(database: Database) -> None:
    stores, ledger = Stores(database=database), Ledger(database=database)
    store = await stores.named("t", "docs", embedder="m", dimension=3)
    await ledger.put([FileRecord(store_id=store.id, file_id="f", filename="a.md", status="queued")])

    await stores.hide("t", store.id)

    assert await stores.list("t") == []
    with pytest.raises(NotFound):
        await stores.get("t", "docs")
    assert [hidden.id for hidden in await stores.hidden()] == [store.id]
    await stores.forget(store.id)
    assert await stores.hidden() == []
    assert await ledger.all(store.id) == []


async def test_the_ledger_keeps_what_it_was_given(database: Database) -> None:
    stores, ledger = Stores(database=database), Ledger(database=database)
    store = await stores.named("t", "docs", embedder="m", dimension=3)
    records = [
        FileRecord(
            store_id=store.id,
            file_id=f"f{n}",
            filename=f"{n}.md",
            status="completed",
            chunks=n,
            version="v",
            attributes={"year": 2026.0, "draft": True, "team": "größe"},
        )
        for n in range(1200)
    ]
    await ledger.put(records)
    await ledger.put([FileRecord(store_id=store.id, file_id="f7", filename="7.md", status="failed", reason="empty")])

    known = await ledger.known(store.id, [f"f{n}" for n in range(1300)])

    assert len(known) == 1200
    assert known["f3"].attributes == {"year": 2026.0, "draft": True, "team": "größe"}
    assert known["f3"].updated_s > 0
    assert known["f7"].reason == "empty"
    assert await ledger.counts(store.id) == {"completed": 1199, "failed": 1}
    assert [record.file_id for record in await ledger.in_state(store.id, "failed")] == ["f7"]


async def test_a_group_is_written_whole_or_not_at_all(database: Database) -> None:
    stores, ledger = Stores(database=database), Ledger(database=database)
    store = await stores.named("t", "docs", embedder="m", dimension=3)
    good = FileRecord(store_id=store.id, file_id="good", filename="a", status="queued")
    orphan = FileRecord(store_id="vs_none", file_id="orphan", filename="b", status="queued")

    with pytest.raises(Exception, match="FOREIGN KEY"):
        await ledger.put([good, orphan])

    assert await ledger.all(store.id) == []


async def test_what_is_not_a_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"this is no database" * 100)
    database = Database(path=path)

    with pytest.raises(DataDamaged, match="damaged"):
        await database.start()
    await database.stop()


async def test_a_catalog_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    database = Database(path=path)

    with pytest.raises(DataDamaged, match="version 99"):
        await database.start()
    await database.stop()


async def test_a_store_that_was_asked_for_is_remembered_until_any_change(database: Database) -> None:
    stores, others = Stores(database=database), Stores(database=database)
    store = await stores.named("t", "docs", embedder="m", dimension=3)
    assert await stores.get("t", "docs") == store

    renamed = await others.modify("t", store.id, name="papers")

    assert await stores.get("t", store.id) == renamed
    with pytest.raises(NotFound):
        await stores.get("t", "docs")
    await others.hide("t", store.id)
    with pytest.raises(NotFound):
        await stores.get("t", store.id)


async def test_a_catalog_of_an_older_version_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    first = files("penstock.catalog").joinpath("schema.sql").read_text(encoding="utf-8")
    connection = sqlite3.connect(path)
    connection.executescript(
        f"{first} PRAGMA user_version=1;"
        "INSERT INTO keys (id, tenant, name, prefix, hash, scopes, groups, created_s) "
        "VALUES ('key_1', 't', '', 'psk_', x'00', 'read', '[]', 1.0);"
    )
    connection.close()

    database = Database(path=path)
    await database.start()
    (key,) = await Keys(database=database).every()
    await database.stop()

    assert key.principal.priority == "interactive"
    assert key.principal.allowance.requests_per_minute is None
