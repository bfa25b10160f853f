"""Each setting of the index does what its docstring says."""

import asyncio
import threading

import msgspec
import pytest

from penstock.config import SearchSettings
from penstock.core.types import Chunk, Entry, Query
from tests.search.search_material import CTX, SETTINGS, edge, file_entries, rows


def entry(name: str, text: str) -> Entry:
    return Entry(chunk=Chunk(id=name, position=0, text=text), file_id=name, filename=name, title="", version="1")


async def best_three(folder, settings: SearchSettings) -> list[str]:
    """Of a chunk near in meaning, one with the words, and one that is second in both."""
    near, words, _ = rows(3)
    vectors = rows(3)
    vectors[1] = -near
    vectors[2] = 0.9 * near + (1 - 0.81) ** 0.5 * words
    vectors[2] /= (vectors[2] ** 2).sum() ** 0.5
    index = edge(folder, settings=settings)
    await index.start()
    await index.write(
        [entry("near", "nothing alike"), entry("words", "heron heron heron"), entry("both", "a grey heron")],
        vectors,
        [],
        CTX,
    )
    found = await index.search(Query(text="heron", limit=1), near, CTX)
    await index.stop()
    return [hit.file_id for hit in found.hits]


@pytest.mark.parametrize(
    ("changed", "best"),
    [
        ({"candidates": 30}, ["both"]),
        ({"candidates": 1}, ["near"]),  # what is second on both sides never comes forward
        ({"candidates": 1, "dense_weight": 0.1}, ["words"]),
        ({"candidates": 30, "dense_weight": 1.0}, ["near"]),
        ({"candidates": 30, "fusion": "ranks"}, ["words"]),  # by ranks a first and a third beat two seconds
    ],
)
async def test_what_comes_first_follows_the_settings(tmp_path, changed, best):
    assert await best_three(tmp_path / "vs", msgspec.structs.replace(SETTINGS, **changed)) == best


async def test_the_language_decides_which_words_are_one(tmp_path):
    for language, hits in (("english", 0.0), ("german", 1.0)):
        index = edge(tmp_path / language, settings=msgspec.structs.replace(SETTINGS, language=language))
        await index.start()
        await index.write([entry("a", "Häuser")], rows(1), [], CTX)
        (hit,) = (await index.search(Query(text="Haus"), rows(1)[0], CTX)).hits
        assert (hit.lexical > 0) == bool(hits), language
        await index.stop()


async def test_no_more_threads_search_than_set(tmp_path):
    index = edge(tmp_path / "vs", settings=msgspec.structs.replace(SETTINGS, threads=2))
    await index.start()
    await index.write(file_entries("f", "1", 50), rows(50), [], CTX)
    await asyncio.gather(*(index.search(Query(text="part"), row, CTX) for row in rows(40)))
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("search-vs_1")]
    assert 1 <= len(ours) <= 2
    await index.stop()
    assert not [thread for thread in threading.enumerate() if "vs_1" in thread.name]
