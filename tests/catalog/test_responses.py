"""Kept answers: whose they are, how long, and that they go with what they rest on, whoever takes it out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.catalog.database import Database
from penstock.catalog.ledger import Ledger
from penstock.catalog.responses import KeptResponse, KeptResponses
from penstock.catalog.stores import Stores
from penstock.core.errors import NotFound
from penstock.core.types import FileRecord, Principal, Store

SOMEBODY = Principal(tenant="t")
LATER = 4e9


def key(*groups: str) -> Principal:
    return Principal(tenant="t", key_id="k", groups=groups)


class Folder:
    """A catalog with one store and the files `a` and `b` in it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.stores = Stores(database=database)
        self.ledger = Ledger(database=database)
        self.now_s = 1e9
        self.kept = KeptResponses(database=database, now_s=lambda: self.now_s)
        self.store: Store

    async def fill(self) -> None:
        self.store = await self.stores.named("t", "docs", embedder="m", dimension=3)
        await self.ledger.put([self.row("a"), self.row("b")])

    def row(self, file_id: str, **changes: Any) -> FileRecord:
        row = FileRecord(store_id=self.store.id, file_id=file_id, filename=file_id, status="completed", version="1")
        return msgspec.structs.replace(row, **changes)

    async def keep(self, name: str, *files: str, by: Principal = SOMEBODY, **more: Any) -> bool:
        response = KeptResponse(id=name, previous_id=more.pop("previous", None), body="{}", input="all", output="text")
        sources = [(self.store.id, file_id) for file_id in files]
        options = {"cited": (), "own_input": None, "asked_s": LATER, "expires_s": LATER, **more}
        return await self.kept.keep(response, by, sources=sources, **options)

    async def output(self, name: str, who: Principal = SOMEBODY) -> str | None:
        return (await self.kept.get(who, name)).output


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    database = Database(path=tmp_path / "catalog.db")
    await database.start()
    folder = Folder(database)
    await folder.fill()
    yield folder
    await database.stop()


async def test_an_answer_goes_with_each_file_it_rests_on_and_with_no_other(folder: Folder) -> None:
    assert await folder.keep("of-a", "a")
    assert await folder.keep("of-both", "a", "b")
    assert await folder.keep("of-b", "b")

    await folder.ledger.remove(folder.store.id, ["a"])

    assert [await folder.output(name) for name in ("of-a", "of-both", "of-b")] == [None, None, "text"]


async def test_it_goes_with_the_store(folder: Folder) -> None:
    await folder.keep("of-a", "a")

    await folder.stores.hide("t", folder.store.id)
    await folder.stores.forget(folder.store.id)

    assert await folder.output("of-a") is None


async def test_it_goes_with_content_that_is_replaced_and_stays_when_only_the_state_changes(folder: Folder) -> None:
    await folder.keep("of-a", "a")
    await folder.keep("of-b", "b")

    await folder.ledger.put([folder.row("a", version="2"), folder.row("b", attributes={"year": 1998.0})])

    assert [await folder.output(name) for name in ("of-a", "of-b")] == [None, "text"]


@pytest.mark.parametrize("change", ["deleted", "replaced", "hidden", "never there"])
async def test_what_changed_while_it_was_answered_is_not_kept(folder: Folder, change: str) -> None:
    asked_s = (await folder.ledger.known(folder.store.id, ["a"]))["a"].updated_s
    if change == "deleted":
        await folder.ledger.remove(folder.store.id, ["a"])
    elif change == "replaced":
        await folder.ledger.put([folder.row("a", version="2")])
    elif change == "hidden":
        await folder.stores.hide("t", folder.store.id)
    source = "x" if change == "never there" else "a"

    assert not await folder.keep("late", source, asked_s=asked_s)

    assert await folder.output("late") is None


async def test_what_the_input_cites_counts_too_and_takes_the_citing_words_with_it(folder: Folder) -> None:
    assert await folder.keep("citing", cited=["a"], own_input="own")
    assert not await folder.keep("citing-what-is-gone", cited=["x"], own_input="own")

    before = (await folder.kept.get(SOMEBODY, "citing")).input
    await folder.ledger.remove(folder.store.id, ["a"])

    assert before == "all"
    assert (await folder.kept.get(SOMEBODY, "citing")).input == "own"
    assert (await folder.kept.get(SOMEBODY, "citing-what-is-gone")).input == "own"


async def test_a_conversation_is_read_back_with_all_that_it_rests_on(folder: Folder) -> None:
    await folder.keep("one", "a")
    await folder.keep("two", "b", previous="one")
    await folder.keep("three", previous="two")

    turns = await folder.kept.turns(SOMEBODY, "three", limit=10)
    short = await folder.kept.turns(SOMEBODY, "three", limit=2)

    assert [turn.id for turn in turns.responses] == ["one", "two", "three"]
    assert {file_id for _, file_id in turns.sources} == {"a", "b"}
    assert [turn.id for turn in short.responses] == ["two", "three"]


async def test_a_withdrawn_turn_says_nothing_and_passes_nothing_on(folder: Folder) -> None:
    await folder.keep("one", "a")
    await folder.keep("two", "b", previous="one")
    await folder.ledger.remove(folder.store.id, ["a"])

    turns = await folder.kept.turns(SOMEBODY, "two", limit=10)

    assert [turn.output for turn in turns.responses] == [None, "text"]
    assert {file_id for _, file_id in turns.sources} == {"b"}


async def test_a_deleted_turn_ends_the_way_back(folder: Folder) -> None:
    await folder.keep("one")
    await folder.keep("two", previous="one")
    await folder.kept.forget(SOMEBODY, "one")

    assert [turn.id for turn in (await folder.kept.turns(SOMEBODY, "two", limit=10)).responses] == ["two"]
    with pytest.raises(NotFound):
        await folder.kept.forget(SOMEBODY, "one")


@pytest.mark.parametrize(
    ("asker", "reader", "sees"),
    [
        (key("hr"), key("hr"), True),
        (key("hr"), key("hr", "sales"), True),
        (key("hr"), key("sales"), False),
        (key("hr", "sales"), key("hr"), False),
        (key(), key("hr"), True),
        (key("hr"), key(), False),
        (key("hr"), Principal(tenant="other", key_id="k", groups=("hr",)), False),
        (key("hr"), SOMEBODY, True),  # no keys in use
    ],
)
async def test_an_answer_is_for_those_who_have_the_askers_groups(
    folder: Folder, asker: Principal, reader: Principal, sees: object
) -> None:
    await folder.keep("one", by=asker)

    if sees:
        assert await folder.output("one", reader) == "text"
    else:
        for look in (folder.kept.get, folder.kept.forget):
            with pytest.raises(NotFound):
                await look(reader, "one")


async def test_who_may_no_longer_read_the_file_no_longer_reads_the_answer(folder: Folder) -> None:
    await folder.keep("one", "a", by=key("hr"))
    assert await folder.output("one", key("hr")) == "text"

    await folder.ledger.put([folder.row("a", groups=("board",))])

    with pytest.raises(NotFound):
        await folder.output("one", key("hr"))
    assert await folder.output("one", key("hr", "board")) == "text"


async def test_what_has_expired_is_not_there_and_then_gone(folder: Folder) -> None:
    await folder.keep("one", "a", expires_s=folder.now_s + 10)
    assert await folder.kept.expire() == 0
    folder.now_s += 10

    with pytest.raises(NotFound):
        await folder.output("one")
    assert await folder.kept.expire() == 1
    left = await folder.database.run(lambda c: c.execute("SELECT count(*) FROM response_sources").fetchone())
    assert left == (0,)


async def test_nothing_of_it_is_left_in_the_file(tmp_path: Path) -> None:
    database = Database(path=tmp_path / "catalog.db")
    await database.start()
    folder = Folder(database)
    await folder.fill()
    canary = "canary-" * 2_000
    response = KeptResponse(id="one", previous_id=None, body="{}", input="i", output=canary)
    source = (folder.store.id, "a")
    await folder.kept.keep(
        response, SOMEBODY, sources=[source], cited=[], own_input=None, asked_s=LATER, expires_s=LATER
    )
    await folder.ledger.remove(folder.store.id, ["a"])
    await database.stop()

    for path in await asyncio.to_thread(lambda: list(tmp_path.iterdir())):
        assert b"canary-" not in path.read_bytes(), path.name


async def test_a_catalog_of_the_first_version_gets_what_it_lacks(tmp_path: Path) -> None:
    import sqlite3
    from importlib.resources import files

    path = tmp_path / "catalog.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(files("penstock.catalog").joinpath("schema.sql").read_text())
        connection.execute("PRAGMA user_version=1")
    connection.close()
    database = Database(path=path)
    await database.start()
    folder = Folder(database)
    await folder.fill()

    assert await folder.keep("one", "a")
    await database.stop()
