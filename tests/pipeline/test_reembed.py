"""Another encoder for a store: beside the old index, resumable, and back again without encoding anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from penstock.config import SearchSettings
from penstock.core.context import Context
from penstock.core.ports import TextKind
from penstock.core.types import Entry, Query, Removal, Vectors
from penstock.pipeline.reembed import Reembedded, Reembedding
from penstock.search.edge import EdgeIndex
from penstock.search.generation import drop_others, folder_of
from tests.pipeline.test_document import World, context, record, world  # noqa: F401 - a fixture

WIDTH = 16


class Other:
    """An encoder of another model and width, which may give up."""

    model = "other-16"
    dimension = WIDTH

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.fails_after = 10**9

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        if len(self.texts) >= self.fails_after:
            raise RuntimeError("killed")
        self.texts += texts
        rows = np.asarray([np.random.default_rng(len(text)).normal(size=WIDTH) for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Switch:
    """The store of a world, and a second index of it."""

    def __init__(self, world: World) -> None:  # noqa: F811
        self.world = world
        self.encoder = Other()
        self.base = world.folder / "store"

    async def run(self) -> Reembedded:
        target = EdgeIndex(
            folder=folder_of(self.base, Other.model), store_id="s", model=Other.model, dimension=WIDTH,
            settings=SearchSettings(min_free_bytes=1),
        )  # fmt: skip
        await target.start()
        try:
            work = Reembedding(
                store=self.world.store, source=self.world.index, target=target, embedder=self.encoder, text_of=text_of
            )
            await work.run(await self.world.ledger.all(self.world.store.id), context())
            return work.done
        finally:
            await target.stop()

    async def texts(self) -> set[str]:
        index = EdgeIndex(
            folder=folder_of(self.base, Other.model), store_id="s", model=Other.model, dimension=WIDTH,
            settings=SearchSettings(min_free_bytes=1),
        )  # fmt: skip
        await index.start()
        vector = np.full(WIDTH, 1 / 4, np.float32)
        found = await index.search(Query(text="words", limit=1000), vector, context())
        await index.stop()
        return {hit.chunk.text for hit in found.hits}


def text_of(entry: Entry) -> str:
    return entry.chunk.text


async def fill(world: World, count: int = 30) -> None:  # noqa: F811
    await world.ingest(*(record(f"d{n}", f"Some words of document {n}.") for n in range(count)))


async def test_all_passages_get_the_new_vectors_and_the_old_index_is_untouched(world: World) -> None:  # noqa: F811
    await fill(world)
    before = await world.index.dump()
    switch = Switch(world)

    done = await switch.run()

    assert (done.files, done.encoded, done.kept) == (30, 30, 0)
    assert len(await switch.texts()) == 30
    assert await world.index.dump() == before


async def test_a_run_that_was_broken_off_goes_on(world: World) -> None:  # noqa: F811
    await fill(world, 260)
    switch = Switch(world)
    switch.encoder.fails_after = 256
    with pytest.raises(RuntimeError, match="killed"):
        await switch.run()
    switch.encoder.fails_after = 10**9

    done = await switch.run()

    assert (done.files, done.kept) == (4, 256)
    assert len(switch.encoder.texts) == 260


async def test_a_second_switch_encodes_only_what_has_changed_since(world: World) -> None:  # noqa: F811
    await fill(world)
    switch = Switch(world)
    await switch.run()
    switch.encoder.texts.clear()
    await world.ingest(record("d1", "Quite other words."))
    gone = next(row for row in await world.ledger.all(world.store.id) if row.filename == "d2")
    await world.index.write([], np.empty((0, 64), np.float32), [Removal(file_id=gone.file_id)], context())
    await world.ledger.remove(world.store.id, [gone.file_id])

    done = await switch.run()

    assert switch.encoder.texts == ["Quite other words."]
    assert done.kept == 28
    texts = await switch.texts()
    assert "Quite other words." in texts
    assert not texts & {"Some words of document 1.", "Some words of document 2."}


async def test_former_indexes_are_dropped_when_told(tmp_path: Path, world: World) -> None:  # noqa: F811
    await fill(world, 5)
    switch = Switch(world)
    await switch.run()
    await world.index.stop()

    assert folder_of(switch.base, "hashing-64") == switch.base
    assert drop_others(switch.base, Other.model) == 1
    assert len(await switch.texts()) == 5
    assert sorted(path.name for path in switch.base.iterdir()) == ["models"]
    world.index = world.new_index()
    await world.index.start()
