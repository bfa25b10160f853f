"""Check 7: what was deleted is in no search that begins after the answer, whatever else goes on, and through kills.

Every document has a word of its own. PENSTOCK_FINALITY is how many operations are interleaved (10,000 on soak).
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from penstock.core.context import Context
from penstock.core.errors import NotFound
from penstock.core.types import Query, Store, StoredFile
from tests.uploads import Parts, context

OPERATIONS = int(os.environ.get("PENSTOCK_FINALITY", "500"))
SEED = int(os.environ.get("PENSTOCK_SEED", "20261126"))
DOCUMENTS, CALLERS, LIMIT = 24, 6, 10


class Shelf:
    """Documents of which each is there, or being changed, or deleted for good; and who says so."""

    def __init__(self, parts: Parts, store: Store, dice: random.Random) -> None:
        self.parts = parts
        self.store = store
        self.dice = dice
        self.files: dict[str, StoredFile] = {}
        self.alive: set[str] = set()
        self.dead: set[str] = set()
        self.made = 0
        self.appearances: list[str] = []
        self.searches = self.short = 0

    async def add(self) -> None:
        """A new document, or one that was there before under a new word."""
        self.made += 1
        canary = f"canary{self.made}"
        text = "\n".join(f"{canary} is a word in line {line} that all documents share." for line in range(3))
        file = await self.parts.upload(text, name=f"{canary}.txt")
        await self.parts.attach(self.store, file)
        self.files[canary] = file
        self.alive.add(canary)

    async def delete(self) -> None:
        canary = self.dice.choice(sorted(self.alive))
        self.alive.discard(canary)
        await self.parts.attaching.detach(self.store, self.files[canary].id, context())
        self.dead.add(canary)

    async def replace(self) -> None:
        """The same file out and in again: it may be found, its old passages not twice."""
        canary = self.dice.choice(sorted(self.alive))
        self.alive.discard(canary)
        file = self.files[canary]
        await self.parts.attaching.detach(self.store, file.id, context())
        await self.parts.attach(self.store, file)
        self.alive.add(canary)

    async def search(self) -> None:
        gone = set(self.dead)  # of those that were answered before this search began
        canary = self.dice.choice(sorted(gone or self.alive))
        hits = await self._hits(f"{canary} word documents share", context())
        self.searches += 1
        texts = [hit.chunk.text for hit in hits]
        self.appearances += [f"{word} in: {text}" for text in texts for word in text.split() if word in gone]
        assert len(set(texts)) == len(texts), "a passage twice"

    async def _hits(self, text: str, ctx: Context) -> list:  # type: ignore[type-arg]
        vector = (await self.parts.encoders.current.embed([text], ctx))[0]
        index = await self.parts.indexes.of(self.store)
        return list((await index.search(Query(text=text, limit=LIMIT), vector, ctx)).hits)

    async def full_answers(self) -> None:
        """At rest, there are as many hits as there are passages to find, up to the limit."""
        await self.parts.work_off(10_000)
        there = sum(row.chunks for row in await self.parts.ledger.all(self.store.id))
        assert len(await self._hits("word documents share", context())) == min(LIMIT, there)


async def caller(shelf: Shelf, operations: int) -> None:
    for _ in range(operations):
        chance = shelf.dice.random()
        if len(shelf.alive) < DOCUMENTS // 2 or (chance < 0.15 and len(shelf.alive) < DOCUMENTS):
            await shelf.add()
        elif chance < 0.3:
            await shelf.delete()
        elif chance < 0.4:
            await shelf.replace()
        else:
            await shelf.search()


async def worker(parts: Parts) -> None:
    while True:
        if not await parts.work.step():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("restarts", [0, 3])
async def test_what_was_deleted_never_appears_again(tmp_path: Path, restarts: int) -> None:
    """With `restarts`, everything is closed so many times, and opened again; kills are tried in tests/crash."""
    parts = Parts(folder=tmp_path)
    await parts.start()
    dice = random.Random(SEED)
    shelf = Shelf(parts, await parts.store(), dice)
    for _ in range(restarts or 1):
        working = asyncio.create_task(worker(parts), name="worker")
        share = OPERATIONS // CALLERS // (restarts or 1)
        try:
            async with asyncio.TaskGroup() as callers:
                for _ in range(CALLERS):
                    callers.create_task(caller(shelf, share))
        finally:
            working.cancel()
            await asyncio.wait({working})
        if restarts:
            await parts.stop()
            parts = Parts(folder=tmp_path)
            await parts.start()
            shelf.parts = parts
            await shelf.search()
    await shelf.full_answers()
    print(f"seed {SEED}: {shelf.searches} searches, {len(shelf.dead)} deleted, {len(shelf.appearances)} appearances")
    assert shelf.dead
    assert not shelf.appearances
    for canary in sorted(shelf.dead)[:50]:
        with pytest.raises(NotFound):
            await parts.attaching.detach(shelf.store, shelf.files[canary].id, context())
    await parts.stop()
