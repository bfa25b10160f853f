"""Of an uploaded file only what its store does not have is encoded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from penstock.core.context import Context
from penstock.core.ports import TextKind
from penstock.core.types import Vectors
from penstock.embed.encoders import Encoders
from tests.hashing import HashingEmbedder
from tests.uploads import Parts, PlainReader, context

LINES = [
    f"Paragraph {number} says that penstocks of kind {number} are pipes, and goes on saying so for as long as it takes "
    f"to fill a passage of its own with words about kind {number}."
    for number in range(6)
]


class Counting(HashingEmbedder):
    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        if kind == "passage":
            self.texts += texts
        return await super().embed(texts, ctx, kind=kind)


class World:
    def __init__(self, folder: Path) -> None:
        self.embedder = Counting()
        # Each line is a passage of its own.
        self.parts = Parts(folder=folder, reader=PlainReader(budget=40), encoders=Encoders(self.embedder))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.parts.start()
    yield world
    await world.parts.stop()


async def test_of_a_changed_file_only_the_changed_passages_are_encoded(world: World) -> None:
    store = await world.parts.store()
    await world.parts.attach(store, await world.parts.upload("\n".join(LINES), "pipes.txt"))
    await world.parts.work_off()
    assert len(world.embedder.texts) == 6
    world.embedder.texts.clear()

    edited = [*LINES[:2], LINES[2].replace("pipes", "valves"), *LINES[3:]]
    file = await world.parts.upload("\n".join(edited), "pipes.txt")
    await world.parts.attach(store, file)
    await world.parts.work_off()

    assert [text.splitlines()[-1] for text in world.embedder.texts] == [edited[2]]
    index = await world.parts.indexes.of(store)
    entries, vectors = await index.entries_of(file.id)
    texts = [entry.chunk.text for entry in entries]
    assert texts == edited
    fresh = await HashingEmbedder().embed([f"pipes.txt\n{text}" for text in texts], context(), kind="passage")
    assert float((vectors * fresh).sum(axis=1).min()) > 0.999, "each has its own vector"


async def test_a_copy_in_another_store_is_encoded_there(world: World) -> None:
    first, second = await world.parts.store("first"), await world.parts.store("second")
    for store in (first, second):
        await world.parts.attach(store, await world.parts.upload(LINES[0], "pipe.txt"))
        await world.parts.work_off()
    assert len(world.embedder.texts) == 2


async def test_what_is_deleted_before_it_is_used_again_is_encoded_after_all(world: World) -> None:
    store = await world.parts.store()
    old = await world.parts.upload("\n".join(LINES), "pipes.txt")
    await world.parts.attach(store, old)
    await world.parts.work_off()
    embedding = world.parts.desk.embedding

    async def and_then_it_is_gone(read: object) -> dict[str, set[str]]:
        known = await embedding(read)  # type: ignore[arg-type]
        world.parts.desk.embedding = embedding  # type: ignore[method-assign]
        await world.parts.attaching.detach(store, old.id, context())
        return known

    world.parts.desk.embedding = and_then_it_is_gone  # type: ignore[method-assign]
    world.embedder.texts.clear()
    await world.parts.attach(store, await world.parts.upload("\n".join(LINES[:4]), "pipes.txt"))
    await world.parts.work_off()

    assert len(world.embedder.texts) == 4
    (record,) = await world.parts.ledger.all(store.id)
    assert (record.status, record.chunks) == ("completed", 4)
    hits = await world.parts.hits(store, "penstocks")
    assert sorted(hit.chunk.text for hit in hits) == LINES[:4]


async def test_a_file_of_which_all_is_known_needs_no_encoder(world: World) -> None:
    store = await world.parts.store()
    for _ in range(2):
        await world.parts.attach(store, await world.parts.upload("\n".join(LINES), "pipes.txt"))
        await world.parts.work_off()
    assert len(world.embedder.texts) == 6
    assert np.all([state == "completed" for state in (await world.parts.states(store)).values()])
    assert await (await world.parts.indexes.of(store)).count() == 12
