"""The open indexes: opened once, whoever asks and leaves."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from penstock.core.errors import DataDamaged
from penstock.core.types import Store
from penstock.pipeline.directory import IndexDirectory

STORE = Store(id="vs_1", tenant="default", name="docs", embedder="hashing-64", dimension=64, created_s=1.0)


class SlowIndex:
    """Takes its time to start, as an index whose files are made by a thread does, and notes how many do at once."""

    starting = 0
    most = 0
    gate: asyncio.Event
    error: Exception | None = None

    async def start(self) -> None:
        cls = type(self)
        cls.starting += 1
        cls.most = max(cls.most, cls.starting)
        try:
            await asyncio.shield(self.gate.wait())
        finally:
            # A thread goes on when its caller leaves; so this counts as started until the gate is open.
            if self.gate.is_set():
                cls.starting -= 1
        if self.error is not None:
            raise self.error

    async def stop(self) -> None: ...


def directory(error: Exception | None = None) -> tuple[IndexDirectory, type[SlowIndex]]:
    kind = type("Index", (SlowIndex,), {"gate": asyncio.Event(), "error": error})
    return IndexDirectory(open_index=lambda _store: kind()), kind


async def test_who_leaves_while_it_opens_does_not_make_it_open_twice() -> None:
    indexes, kind = directory()
    first = asyncio.create_task(indexes.of(STORE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first

    second = asyncio.create_task(indexes.of(STORE))
    await asyncio.sleep(0)
    kind.gate.set()

    assert await second is await indexes.of(STORE)
    assert kind.most == 1


async def test_an_opening_that_failed_is_told_and_tried_again() -> None:
    indexes, kind = directory(DataDamaged("it is damaged"))
    kind.gate.set()

    with pytest.raises(DataDamaged):
        await indexes.of(STORE)
    kind.error = None

    assert await indexes.of(STORE) is not None
