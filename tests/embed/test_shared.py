"""The same question of several callers is encoded once, and nobody's departure harms another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from penstock.core.context import Context, Priority, start_context
from penstock.core.ports import TextKind
from penstock.core.types import Principal, Vectors
from penstock.embed.shared import SharedEmbedder
from tests.hashing import HashingEmbedder


class Slow(HashingEmbedder):
    """Takes its time, and remembers what it was given."""

    def __init__(self) -> None:
        self.encoded: list[list[str]] = []

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        self.encoded.append(list(texts))
        await asyncio.sleep(0.02)
        return await super().embed(texts, ctx, kind=kind)


@pytest.fixture
def slow() -> Slow:
    return Slow()


def context(tenant: str = "a", *, priority: Priority = "interactive", timeout_s: float = 5.0) -> Context:
    return start_context(principal=Principal(tenant=tenant), timeout_s=timeout_s, priority=priority)


async def test_asked_together_it_is_encoded_once(slow: Slow) -> None:
    shared = SharedEmbedder(embedder=slow)

    vectors = await asyncio.gather(*(shared.embed(["why?"], context()) for _ in range(5)))

    assert slow.encoded == [["why?"]]
    assert all(np.array_equal(each, vectors[0]) for each in vectors)
    await shared.embed(["why?"], context())
    assert slow.encoded == [["why?"]] * 2, "nothing is kept"


async def test_tenants_and_priorities_are_kept_apart(slow: Slow) -> None:
    shared = SharedEmbedder(embedder=slow)

    await asyncio.gather(*(shared.embed(["why?"], context(tenant)) for tenant in "aab"))
    await asyncio.gather(*(shared.embed(["why?"], context(priority=each)) for each in ("batch", "interactive")))

    assert slow.encoded == [["why?"]] * 4


async def test_who_leaves_or_runs_out_of_time_takes_nobody_along(slow: Slow) -> None:
    shared = SharedEmbedder(embedder=slow)
    first = asyncio.create_task(shared.embed(["why?"], context()))
    second = asyncio.create_task(shared.embed(["why?"], context()))
    await asyncio.sleep(0)

    first.cancel()

    assert (await second).shape == (1, slow.dimension)
    assert slow.encoded == [["why?"]]


async def test_passages_and_several_texts_go_straight_through(slow: Slow) -> None:
    shared = SharedEmbedder(embedder=slow)

    await asyncio.gather(*(shared.embed(["a", "b"], context()) for _ in range(2)))
    await asyncio.gather(*(shared.embed(["a"], context(), kind="passage") for _ in range(2)))

    assert slow.encoded == [["a", "b"]] * 2 + [["a"]] * 2
