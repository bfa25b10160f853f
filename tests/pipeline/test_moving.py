"""Stores move to another encoder while they are searched and written to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from penstock.core.context import Context
from penstock.core.errors import NotFound
from penstock.core.ports import TextKind
from penstock.core.types import Query, Store, Vectors
from penstock.embed.encoders import Encoders
from penstock.pipeline.moving import FEW_FILES, Moving
from penstock.pipeline.reembed import Reembedded
from penstock.pipeline.writers import Writers
from tests.hashing import HashingEmbedder
from tests.uploads import Parts, PlainReader, context

WIDTH = 16


class Coming:
    """The encoder to which stores move: another model, another width, and sometimes slow."""

    model = "other-16"
    dimension = WIDTH

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if kind == "passage":
            self.texts += texts
        return (await HashingEmbedder().embed(texts, ctx, kind=kind))[:, :WIDTH]


class World:
    def __init__(self, folder: Path) -> None:
        self.coming = Coming()
        self.reader = PlainReader()
        self.parts = Parts(folder=folder, reader=self.reader, encoders=Encoders(HashingEmbedder(), self.coming))
        self.reports: list[Reembedded] = []

    def moving(self) -> Moving:
        return Moving(
            embedder=self.coming,
            stores=self.parts.stores,
            ledger=self.parts.ledger,
            indexes=self.parts.indexes,
            writers=self.parts.writers,
            text_of=lambda entry: entry.chunk.text,
            report=lambda _, done: self.reports.append(done),
        )

    async def filled(self, count: int) -> Store:
        store = await self.parts.store()
        for number in range(count):
            await self.attach(store, number)
        await self.parts.work_off()
        return store

    async def attach(self, store: Store, number: int) -> str:
        file = await self.parts.upload(f"Document {number} is of penstocks.", f"{number}.txt")
        await self.parts.attach(store, file)
        return file.id

    async def now(self, store: Store) -> Store:
        return await self.parts.stores.get(store.tenant, store.id)

    async def texts(self, store: Store) -> list[str]:
        """What the index that answers finds, each with a vector of its own encoder."""
        index = await self.parts.indexes.of(store)
        vector = (await self.parts.encoders.of(store).embed(["penstocks"], context()))[0]
        assert len(vector) == store.dimension
        return sorted(hit.chunk.text for hit in (await index.search(Query("penstocks", 1_000), vector, context())).hits)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.parts.start()
    yield world
    await world.parts.stop()


def written(*numbers: int) -> list[str]:
    return sorted(f"Document {number} is of penstocks." for number in numbers)


async def test_a_store_answers_with_the_other_encoder_once_it_has_moved(world: World) -> None:
    store = await world.filled(5)
    assert await world.moving().waiting() == [store]

    done = await world.moving().move(store)

    after = await world.now(store)
    assert (after.embedder, after.dimension, done.encoded) == ("other-16", WIDTH, 5)
    assert await world.texts(after) == written(*range(5))
    assert await world.moving().waiting() == []


async def test_whoever_asked_before_the_switch_is_answered_by_the_old_index(world: World) -> None:
    store = await world.filled(3)
    moving = world.moving()
    await moving.move(store)
    assert (await world.now(store)).embedder != store.embedder

    assert await world.texts(store) == written(0, 1, 2)

    await moving.leave(store)
    assert await world.texts(await world.now(store)) == written(0, 1, 2)


async def test_what_is_written_while_it_is_copied_is_there_after_the_switch(world: World) -> None:
    store = await world.filled(FEW_FILES + 10)
    records = await world.parts.ledger.all(store.id)
    world.coming.gate = asyncio.Event()
    moving = asyncio.create_task(world.moving().move(store))
    await world.coming.asked.wait()

    await world.attach(store, 1_000)
    await world.parts.attaching.detach(store, records[0].file_id, context())
    await world.parts.attaching.update(store, records[1].file_id, context(), attributes={"year": 1998.0})
    await world.parts.work_off()
    gone = records[0].filename.removesuffix(".txt")
    world.coming.gate.set()
    await moving

    after = await world.now(store)
    expected = written(*({*range(FEW_FILES + 10), 1_000} - {int(gone)}))
    assert await world.texts(after) == expected
    entries, _ = await (await world.parts.indexes.of(after)).entries_of(records[1].file_id)
    assert entries[0].attributes == {"year": 1998.0}
    assert sorted(world.coming.texts) == sorted({*world.coming.texts}), "nothing is encoded twice"


async def test_a_file_that_was_being_read_for_the_old_encoder_is_read_again_for_the_new_one(world: World) -> None:
    store = await world.filled(1)
    world.reader.gate = asyncio.Event()
    await world.attach(store, 7)
    step = asyncio.create_task(world.parts.step())
    while "7.txt" not in world.reader.parsed:
        await asyncio.sleep(0.01)

    await world.moving().move(store)
    world.reader.gate.set()
    await step
    assert await world.texts(await world.now(store)) == written(0), "the old encoder's vectors must not come in"
    await world.parts.work_off()

    after = await world.now(store)
    assert await world.texts(after) == written(0, 7)
    assert set((await world.parts.states(store)).values()) == {"completed"}
    assert "7.txt\nDocument 7 is of penstocks." in world.coming.texts


async def test_new_files_go_through_the_encoder_of_their_store(world: World) -> None:
    old, moved = await world.filled(1), await world.parts.store("moved")
    await world.moving().move(moved)
    await world.attach(old, 1)
    await world.attach(await world.now(moved), 2)
    await world.parts.work_off()

    assert world.coming.texts == ["2.txt\nDocument 2 is of penstocks."]
    assert await world.texts(old) == written(0, 1)
    assert await world.texts(await world.now(moved)) == written(2)


async def test_a_store_that_is_deleted_while_it_is_copied_is_gone(world: World) -> None:
    store = await world.filled(3)
    world.coming.gate = asyncio.Event()
    moving = asyncio.create_task(world.moving().move(store))
    await world.coming.asked.wait()
    await world.parts.store_keeper.delete(store.tenant, store.id)
    world.coming.gate.set()

    with pytest.raises(NotFound):
        await moving
    assert not (world.parts.folder / "stores" / store.id).exists()


async def test_back_to_the_former_encoder_only_what_has_changed_is_encoded(world: World) -> None:
    store = await world.filled(4)
    await world.moving().move(store)
    await world.attach(await world.now(store), 9)
    await world.parts.work_off()

    back = Moving(
        embedder=HashingEmbedder(), stores=world.parts.stores, ledger=world.parts.ledger, indexes=world.parts.indexes,
        writers=world.parts.writers, text_of=lambda entry: entry.chunk.text, report=lambda _, __: None,
    )  # fmt: skip
    done = await back.move(await world.now(store))

    assert (done.kept, done.encoded) == (4, 1)
    assert await world.texts(await world.now(store)) == written(0, 1, 2, 3, 9)


async def test_changes_of_all_kinds_beside_many_moves(world: World) -> None:
    """Forth and back while files come, change and go: in the end the index is what the ledger says."""
    dice = np.random.default_rng(20261130)
    store = await world.filled(10)
    names: dict[str, str] = {record.file_id: record.filename for record in await world.parts.ledger.all(store.id)}
    encoders = {each.model: each for each in (HashingEmbedder(), world.coming)}
    ended = asyncio.Event()

    moves = 0

    async def move_about() -> None:
        nonlocal moves
        while not ended.is_set():
            now = await world.now(store)
            (other,) = (each for model, each in encoders.items() if model != now.embedder)
            moving = world.moving()
            moving._embedder = other
            await moving.move(now)
            moves += 1

    moving_about = asyncio.create_task(move_about())
    numbers = itertools.count(100)
    while (number := next(numbers)) < 160 or (moves < 4 and not moving_about.done()):
        now = await world.now(store)
        what = dice.integers(3)
        if what == 0 or len(names) < 5:
            file_id = await world.attach(now, number)
            names[file_id] = f"{number}.txt"
        elif what == 1:
            file_id = sorted(names)[dice.integers(len(names))]
            await world.parts.attaching.detach(now, file_id, context())
            del names[file_id]
        else:
            file_id = sorted(names)[dice.integers(len(names))]
            await world.parts.attaching.update(now, file_id, context(), attributes={"n": float(number)})
        await world.parts.step()
        assert len(await world.texts(await world.now(store))) <= len(names)
    ended.set()
    await moving_about
    await world.parts.work_off()

    after = await world.now(store)
    assert await world.texts(after) == written(*(int(name.removesuffix(".txt")) for name in names.values()))
    index = await world.parts.indexes.of(after)
    for record in await world.parts.ledger.all(store.id):
        entries, _ = await index.entries_of(record.file_id)
        assert [entry.attributes for entry in entries] == [record.attributes], record.filename


async def test_a_switch_waits_for_writes_and_keeps_the_next_ones_waiting() -> None:
    writers = Writers()
    order: list[str] = []
    leave, switched = asyncio.Event(), asyncio.Event()

    async def write(name: str, until: asyncio.Event | None = None) -> None:
        async with writers.shared("s"):
            order.append(name)
            if until is not None:
                await until.wait()

    async def switch() -> None:
        async with writers.alone("s"):
            order.append("switch")
            await switched.wait()

    tasks = [asyncio.create_task(write("first", leave))]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(switch()))
    await asyncio.sleep(0.01)
    tasks.append(asyncio.create_task(write("second")))
    async with asyncio.timeout(1), writers.shared("another"):
        pass
    await asyncio.sleep(0.01)
    assert order == ["first"]
    leave.set()
    await asyncio.sleep(0.01)
    assert order == ["first", "switch"]
    switched.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "switch", "second"]


async def test_a_switch_that_waits_for_a_run_keeps_no_write_out() -> None:
    writers = Writers()
    async with writers.run("s"):
        switching = asyncio.create_task(writers.alone("s").__aenter__())
        await asyncio.sleep(0.01)
        async with asyncio.timeout(1), writers.shared("s"):
            pass
        assert not switching.done()
    await switching
