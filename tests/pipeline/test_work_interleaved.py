"""Attaching, changing and taking out while the worker works: at any moment what was answered holds."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from penstock.core.types import Store
from penstock.run.dispatch import Dispatch
from penstock.run.worker import UploadWorker
from tests.uploads import Parts, context

SEED = 20261121
CALLERS = 6
STEPS = 25


class Caller:
    """Works on files of its own and knows what it was told about each: what it expects to find."""

    def __init__(self, parts: Parts, store: Store, number: int) -> None:
        self.parts = parts
        self.store = store
        self.random = random.Random(SEED + number)
        self.number = number
        self.expected: dict[str, float] = {}
        self.gone: set[str] = set()
        self.leaks = 0

    async def run(self) -> None:
        for step in range(STEPS):
            act = self.random.choice([self.attach, self.attach, self.change, self.take_out, self.delete])
            await act(step)
            await self.look()

    async def attach(self, step: int) -> None:
        if self.gone and self.random.random() < 0.3:
            file = await self.parts.files.get("default", self.random.choice(sorted(self.gone)))
            self.gone.discard(file.id)
        else:
            file = await self.parts.upload(
                f"Text of caller {self.number} and step {step}.", f"{self.number}-{step}.txt"
            )
        await self.parts.attach(self.store, file, attributes={"n": float(step)})
        self.expected[file.id] = float(step)

    async def change(self, step: int) -> None:
        if self.expected:
            file_id = self.random.choice(sorted(self.expected))
            attributes = {"n": float(1_000 + step)}
            await self.parts.attaching.update(self.store, file_id, context(), attributes=attributes)
            self.expected[file_id] = attributes["n"]

    async def take_out(self, _step: int) -> None:
        if self.expected:
            file_id = self.random.choice(sorted(self.expected))
            await self.parts.attaching.detach(self.store, file_id, context())
            del self.expected[file_id]
            self.gone.add(file_id)

    async def delete(self, _step: int) -> None:
        if self.expected:
            file_id = self.random.choice(sorted(self.expected))
            await self.parts.file_keeper.delete("default", file_id, context())
            del self.expected[file_id]

    async def look(self) -> None:
        """Only what it attached, and as it was last told."""
        index = await self.parts.indexes.of(self.store)
        for file_id in sorted(self.gone):
            entries, _ = await index.entries_of(file_id)
            self.leaks += len(entries)
        for hit in await self.parts.hits(self.store, f"caller {self.number}"):
            if hit.filename.startswith(f"{self.number}-"):
                self.leaks += self.expected.get(hit.file_id) != hit.attributes["n"]


async def test_whatever_happens_at_once_the_end_is_what_was_answered(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    parts = Parts(folder=tmp_path)
    await parts.start()
    store = await parts.store()
    worker, dispatch = UploadWorker(work=parts.work), Dispatch(uploads=parts)
    dispatch.start()
    worker.start()
    callers = [Caller(parts, store, number) for number in range(CALLERS)]

    await asyncio.gather(*(caller.run() for caller in callers))
    await worker.stop()
    await dispatch.stop()
    # What was under way was given back.
    assert {record.status for record in await parts.ledger.all(store.id)} <= {"queued", "completed"}
    await parts.work_off()

    assert [caller.leaks for caller in callers] == [0] * CALLERS
    expected = {file_id: n for caller in callers for file_id, n in caller.expected.items()}
    assert len(expected) > CALLERS
    records = await parts.ledger.all(store.id)
    assert {record.file_id: record.attributes["n"] for record in records} == expected
    assert {record.status for record in records} == {"completed"}
    index = await parts.indexes.of(store)
    for file_id, n in expected.items():
        entries, _ = await index.entries_of(file_id)
        assert [entry.attributes["n"] for entry in entries] == [n]
    assert await index.count() == sum(record.chunks for record in records)  # type: ignore[attr-defined]
    assert await parts.attachments.unfinished() == []
    assert await parts.count_jobs() == 0
    await parts.stop()
