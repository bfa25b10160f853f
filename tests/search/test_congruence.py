"""The index on disk finds what the plain one in memory finds, on random chunks, questions, filters and groups."""

import asyncio
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.config import SearchSettings
from penstock.core.types import Chunk, Comparison, Compound, Entry, Query, Removal
from penstock.search import EdgeIndex, MemoryIndex
from tests.search.search_material import CTX, DIMENSION, SETTINGS, edge, rows

WORDS = ["river", "stone", "bridge", "water", "mill", "wheel", "grain", "flour", "bread", "the"]
VALUES = st.sampled_from([1.0, 2.0, 3.5, "1", "red", "blue", True, False])
KEYS = st.sampled_from(["colour", "size", "flag"])

entries = st.builds(
    lambda file, position, words, attributes, groups: Entry(
        chunk=Chunk(id=f"{file}/{position}", position=position, text=" ".join(words)),
        file_id=f"file{file}",
        filename=f"{file}.md",
        title="",
        version="1",
        attributes=attributes,
        groups=tuple(groups),
    ),
    st.integers(0, 5),
    st.integers(0, 8),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=12),
    st.dictionaries(KEYS, VALUES, max_size=3),
    st.sets(st.sampled_from(["a", "b"]), max_size=2),
)
comparisons = st.one_of(
    st.builds(lambda t, k, v: Comparison(type=t, key=k, value=v), st.sampled_from(["eq", "ne"]), KEYS, VALUES),
    st.builds(
        lambda t, k, v: Comparison(type=t, key=k, value=v),
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        KEYS,
        st.sampled_from([1.0, 2.0, 3.0]),
    ),
    st.builds(
        lambda t, k, v: Comparison(type=t, key=k, value=tuple(v)),
        st.sampled_from(["in", "nin"]),
        KEYS,
        st.lists(st.sampled_from([1.0, "red", "1"]), max_size=3),
    ),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.builds(
        lambda t, f: Compound(type=t, filters=tuple(f)),
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)
queries = st.builds(
    Query,
    text=st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
    limit=st.integers(1, 60),
    filters=st.none() | filters,
    groups=st.none() | st.sets(st.sampled_from(["a", "b", "c"])).map(tuple),
)


async def compare(stored: list[Entry], removed: list[str], asked: list[Query], chosen: SearchSettings) -> None:
    stored = list({entry.chunk.id: entry for entry in stored}.values())
    with tempfile.TemporaryDirectory() as folder:
        disk = edge(Path(folder) / "vs", settings=chosen)
        plain = MemoryIndex(store_id="vs_1", dimension=DIMENSION, settings=chosen)
        await disk.start()
        try:
            for index in (disk, plain):
                await index.write(stored, rows(len(stored)), [], CTX)
                await index.write([], rows(0), [Removal(file_id=file) for file in removed], CTX)
            for number, query in enumerate(asked):
                await same(disk, plain, query, rows(1, 1000 + number)[0], exact_words=not removed)
        finally:
            await disk.stop()


async def same(disk: EdgeIndex, plain: MemoryIndex, query: Query, vector: np.ndarray, *, exact_words: bool) -> None:
    """`exact_words` is false after removals: the shard goes on counting removed chunks when it judges how
    rare a word is, until its segment is rebuilt, so lexical scores differ a little from the plain index's."""
    everything = Query(text=query.text, limit=100, filters=query.filters, groups=query.groups)
    expected = {hit.chunk.id: hit for hit in (await plain.search(everything, vector, CTX)).hits}
    found = (await disk.search(query, vector, CTX)).hits
    assert len(found) == min(query.limit, len(expected))
    best = sorted((hit.score for hit in expected.values()), reverse=True)
    for hit, best_score in zip(found, best, strict=False):
        other = expected[hit.chunk.id]
        assert (hit.chunk, hit.attributes) == (other.chunk, other.attributes)
        assert hit.dense == pytest.approx(other.dense, abs=1e-3)
        assert (hit.lexical > 0) == (other.lexical > 0)
        if not exact_words:
            continue
        assert hit.lexical == pytest.approx(other.lexical, rel=1e-3, abs=1e-4)
        # in order of score, rounding apart: two chunks of nearly one score may change places
        assert hit.score == pytest.approx(best_score, abs=2e-3)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    stored=st.lists(entries, min_size=1, max_size=40),
    removed=st.lists(st.sampled_from(["file0", "file1", "file9"]), max_size=2),
    asked=st.lists(queries, min_size=4, max_size=12),
)
def test_disk_and_memory_agree(stored, removed, asked):
    asyncio.run(compare(stored, removed, asked, SETTINGS))


async def test_the_best_by_meaning_alone_are_the_exact_ones(tmp_path):
    vectors = rows(2000)
    stored = [
        Entry(chunk=Chunk(id=str(i), position=i, text="same"), file_id=str(i), filename="", title="", version="1")
        for i in range(2000)
    ]
    index = edge(tmp_path / "vs")
    await index.start()
    await index.write(stored, vectors, [], CTX)
    for question in rows(20, 77):
        exact = np.argsort(-(vectors @ question))[:10]
        hits = (await index.search(Query(text="the", limit=10), question, CTX)).hits
        assert len({int(hit.chunk.id) for hit in hits} & set(exact.tolist())) >= 9
        assert hits[0].dense == pytest.approx(float((vectors @ question).max()), abs=1e-3)
    await index.stop()
