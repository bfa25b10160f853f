"""What every Index does, whatever holds it. A new one joins by a line in INDEXES."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from penstock.config import SearchSettings
from penstock.core.context import start_context
from penstock.core.errors import DeadlineExceeded, InvalidRequest
from penstock.core.types import Chunk, Comparison, Compound, Entry, Principal, Query, Removal
from penstock.search import EdgeIndex, MemoryIndex
from penstock.search.batched import BatchedIndex

DIMENSION = 32
CTX = start_context(principal=Principal(), timeout_s=86_400)  # from the import on, through every test of the run
SETTINGS = SearchSettings(threads=2, min_free_bytes=1, vector_bits=16)  # exact, to compare

INDEXES: dict[str, Callable[[Path], EdgeIndex | MemoryIndex | BatchedIndex]] = {
    "edge": lambda folder: EdgeIndex(folder=folder, store_id="vs_1", model="m", dimension=DIMENSION, settings=SETTINGS),
    "batched": lambda folder: BatchedIndex(index=INDEXES["edge"](folder)),
    "memory": lambda folder: MemoryIndex(store_id="vs_1", dimension=DIMENSION, settings=SETTINGS),
}


@pytest.fixture(params=INDEXES)
async def index(request, tmp_path) -> AsyncIterator[EdgeIndex | MemoryIndex]:
    made = INDEXES[request.param](tmp_path / "vs_1")
    await made.start()
    yield made
    await made.stop()


def unit(seed: int) -> np.ndarray:
    row = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return row / np.linalg.norm(row)


def units(*seeds: int) -> np.ndarray:
    return np.array([unit(seed) for seed in seeds], np.float32).reshape(-1, DIMENSION)


def entry(file: str, position: int = 0, text: str = "plain text", version: str = "1", **rest) -> Entry:
    title, headings = rest.pop("title", ""), rest.pop("headings", ())
    chunk = Chunk(id=f"{file}:{position}:{text}", position=position, text=text, headings=headings)
    return Entry(chunk=chunk, file_id=file, filename=f"{file}.md", title=title, version=version, **rest)


async def found(index, text="", vector=None, **query) -> list[str]:
    result = await index.search(Query(text=text, **query), unit(0) if vector is None else vector, CTX)
    return [hit.file_id for hit in result.hits]


async def test_an_empty_index_finds_nothing(index):
    result = await index.search(Query(text="anything"), unit(0), CTX)
    assert result.hits == ()
    assert result.coverage == 1.0
    assert await index.count() == 0


async def test_finds_by_meaning_where_no_word_is_shared(index):
    await index.write([entry("a"), entry("b")], units(1, 2), [], CTX)
    assert (await found(index, "different vocabulary", unit(2)))[0] == "b"


async def test_finds_by_words_where_the_meaning_is_the_same(index):
    await index.write([entry("a", text="the invoice number"), entry("b", text="K-4711 part")], units(1, 1), [], CTX)
    assert (await found(index, "what is K-4711?", unit(1)))[0] == "b"


async def test_words_of_title_and_headings_count(index):
    entries = [entry("a", title="Zanzibar"), entry("b", headings=("Mombasa",)), entry("c")]
    await index.write(entries, units(1, 1, 1), [], CTX)
    assert (await found(index, "zanzibar", unit(1)))[0] == "a"
    assert (await found(index, "mombasa", unit(1)))[0] == "b"


async def test_a_question_of_stop_words_is_answered_by_meaning(index):
    await index.write([entry("a"), entry("b")], units(1, 2), [], CTX)
    assert (await found(index, "who is it?", unit(1)))[0] == "a"
    assert (await found(index, "", unit(2)))[0] == "b"


async def test_a_hit_carries_all_of_its_chunk_and_both_scores(index):
    stored = entry("a", 3, "the quick fox", title="Foxes", attributes={"year": 1999.0, "ok": True, "s": "x"})
    await index.write([stored, entry("b")], units(1, 2), [], CTX)
    hit = (await index.search(Query(text="quick fox"), unit(1), CTX)).hits[0]
    assert (hit.chunk, hit.file_id, hit.filename, hit.title) == (stored.chunk, "a", "a.md", "Foxes")
    assert hit.attributes == {"year": 1999.0, "ok": True, "s": "x"}
    assert hit.dense == pytest.approx(1, abs=1e-3)
    assert hit.lexical > 0
    assert hit.store_id == "vs_1"


async def test_scores_lie_in_0_to_1_fall_and_both_parts_are_filled_in(index):
    entries = [entry("a", i, f"alpha {'beta ' * (i % 3)}number{i}") for i in range(40)]
    await index.write(entries, units(*range(40)), [], CTX)
    hits = (await index.search(Query(text="alpha beta number7", limit=40), unit(9), CTX)).hits
    scores = [hit.score for hit in hits]
    assert len(hits) == 40
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(hit.dense is not None and hit.lexical is not None and hit.lexical > 0 for hit in hits)


async def test_limit_bounds_the_hits(index):
    await index.write([entry("a", i) for i in range(9)], units(*range(9)), [], CTX)
    assert len(await found(index, limit=4)) == 4


async def test_many_questions_get_the_answers_they_would_get_alone(index):
    entries = [entry(f"f{i}", text=f"word{i} common") for i in range(30)]
    await index.write(entries, units(*range(30)), [], CTX)
    asked = [
        (Query(text="word3 common", limit=3), unit(3)),
        (Query(text="the of", limit=2), unit(4)),
        (Query(text="word9", limit=5, filters=Comparison(type="ne", key="k", value="v")), unit(5)),
    ]
    alone = [await index.search(query, vector, CTX) for query, vector in asked]
    together = await index.search_many(asked, CTX)
    assert [[h.file_id for h in f.hits] for f in together] == [[h.file_id for h in f.hits] for f in alone]
    assert await index.search_many([], CTX) == []


async def test_writing_twice_changes_nothing(index):
    batch = ([entry("a", i) for i in range(5)], units(*range(5)), [Removal(file_id="a", keep_version="1")])
    await index.write(*batch, CTX)
    once = await index.dump()
    await index.write(*batch, CTX)
    assert await index.dump() == once
    assert await index.count() == 5


async def test_a_chunk_twice_in_one_write_is_there_once_as_the_last_says(index):
    await index.write([entry("a", attributes={"n": 1.0}), entry("a", attributes={"n": 2.0})], units(1, 2), [], CTX)
    (hit,) = (await index.search(Query(text="plain"), unit(2), CTX)).hits
    assert hit.attributes == {"n": 2.0}


async def test_the_same_chunk_again_with_other_attributes_replaces_it(index):
    await index.write([entry("a", attributes={"n": 1.0}, groups=("red",))], units(1), [], CTX)
    await index.write([entry("a", attributes={"n": 2.0}, groups=("blue",))], units(1), [], CTX)
    assert await index.count() == 1
    assert await found(index, filters=Comparison(type="eq", key="n", value=1.0)) == []
    assert await found(index, filters=Comparison(type="gt", key="n", value=1.5), groups=("blue",)) == ["a"]
    assert await found(index, groups=("red",)) == []


async def test_removal_of_a_file_takes_all_its_versions_and_no_other_file(index):
    await index.write([entry("a"), entry("a", 1, version="2"), entry("b")], units(1, 2, 3), [], CTX)
    await index.write([], units(), [Removal(file_id="a")], CTX)
    assert await found(index) == ["b"]
    await index.write([], units(), [Removal(file_id="a"), Removal(file_id="unknown")], CTX)
    assert await index.count() == 1


async def test_removal_may_keep_one_version(index):
    await index.write([entry("a", 0, "old"), entry("a", 1, "kept", version="2")], units(1, 2), [], CTX)
    await index.write([], units(), [Removal(file_id="a", keep_version="2")], CTX)
    assert [line.version for line in await index.dump()] == ["2"]


async def test_upserts_survive_the_removals_of_their_own_write(index):
    await index.write([entry("a", 0, "old")], units(1), [], CTX)
    await index.write([entry("a", 0, "new", version="2")], units(2), [Removal(file_id="a")], CTX)
    assert [hit.chunk.text for hit in (await index.search(Query(text=""), unit(1), CTX)).hits] == ["new"]
    # an unchanged chunk keeps its id from version to version, and must not fall to the removal of the old one
    await index.write([entry("a", 0, "new", version="3")], units(2), [Removal(file_id="a", keep_version="3")], CTX)
    assert [line.version for line in await index.dump()] == ["3"]


async def test_nothing_to_write_is_no_work(index):
    await index.write([], units(), [], CTX)
    assert await index.count() == 0


async def test_vectors_must_fit_the_entries(index):
    with pytest.raises(ValueError, match="vectors of shape"):
        await index.write([entry("a")], units(1, 2), [], CTX)


async def test_no_work_starts_after_the_deadline(index):
    late = start_context(principal=Principal(), timeout_s=0)
    with pytest.raises(DeadlineExceeded):
        await index.search(Query(text="x"), unit(0), late)
    with pytest.raises(DeadlineExceeded):
        await index.write([entry("a")], units(1), [], late)
    assert await index.count() == 0


# --- access lists -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "seen"),
    [
        (None, {"public", "red", "both", "star"}),
        ((), {"public"}),
        (("red",), {"public", "red", "both"}),
        (("blue", "green"), {"public", "both"}),
        (("*",), {"public", "star"}),
    ],
)
async def test_groups_decide_before_the_best_are_taken(index, groups, seen):
    entries = [
        entry("public"),
        entry("red", groups=("red",)),
        entry("both", groups=("red", "blue")),
        entry("star", groups=("*",)),
    ]
    await index.write(entries, units(1, 2, 3, 4), [], CTX)
    assert set(await found(index, "plain text", groups=groups)) == seen
    for name in seen:  # also when the best by far are hidden ones
        assert len(await found(index, "plain text", unit(2), groups=groups, limit=1)) == 1, name


# --- filters ------------------------------------------------------------------------

ENTRIES = {
    "empty": {},
    "one": {"n": 1.0, "s": "a", "b": True},
    "two": {"n": 2.0, "s": "b", "b": False},
    "text1": {"n": "1", "s": "a b"},
    "odd": {"we ird.key\"[0]'é": "x", "a": "b=c", "n": -0.5},
}


@pytest_asyncio.fixture(params=INDEXES, scope="module", loop_scope="module")
async def filled(request, tmp_path_factory) -> AsyncIterator[EdgeIndex | MemoryIndex]:
    made = INDEXES[request.param](tmp_path_factory.mktemp("stores") / "vs_1")
    await made.start()
    entries = [entry(name, attributes=attributes) for name, attributes in ENTRIES.items()]
    await made.write(entries, units(*range(len(entries))), [], CTX)
    yield made
    await made.stop()


def comparison(operator, key, value):
    return Comparison(type=operator, key=key, value=value)


N1, SA = comparison("eq", "n", 1.0), comparison("eq", "s", "a")


@pytest.mark.parametrize(
    ("filters", "seen"),
    [
        (comparison("eq", "s", "a"), {"one"}),
        (comparison("eq", "n", 1.0), {"one"}),
        (comparison("eq", "n", 1), {"one"}),
        (comparison("eq", "n", "1"), {"text1"}),
        (comparison("eq", "n", True), set()),
        (comparison("eq", "b", True), {"one"}),
        (comparison("eq", "b", False), {"two"}),
        (comparison("eq", "b", 1.0), set()),
        (comparison("eq", "missing", "a"), set()),
        (comparison("ne", "s", "a"), {"empty", "two", "text1", "odd"}),
        (comparison("ne", "n", 1.0), {"empty", "two", "text1", "odd"}),
        (comparison("gt", "n", 1.0), {"two"}),
        (comparison("gte", "n", 1.0), {"one", "two"}),
        (comparison("lt", "n", 1.0), {"odd"}),
        (comparison("lte", "n", 1.0), {"one", "odd"}),
        (comparison("gt", "s", 1.0), set()),
        (comparison("gt", "missing", 1.0), set()),
        (comparison("in", "s", ("a", "b")), {"one", "two"}),
        (comparison("in", "n", (2.0, "1")), {"two", "text1"}),
        (comparison("in", "s", ()), set()),
        (comparison("nin", "s", ("a", "b")), {"empty", "text1", "odd"}),
        (comparison("nin", "s", ()), set(ENTRIES)),
        (comparison("eq", "we ird.key\"[0]'é", "x"), {"odd"}),
        (comparison("eq", "a=b", "c"), set()),
        (Compound(type="and", filters=(N1, SA)), {"one"}),
        (Compound(type="and", filters=(N1, comparison("eq", "s", "b"))), set()),
        (Compound(type="or", filters=(N1, comparison("eq", "s", "b"))), {"one", "two"}),
        (
            Compound(type="and", filters=(comparison("ne", "s", "b"), Compound(type="or", filters=(N1, SA)))),
            {"one"},
        ),
        (
            Compound(
                type="or",
                filters=(
                    Compound(type="and", filters=(comparison("gt", "n", 0.0), comparison("lt", "n", 1.5))),
                    comparison("eq", "a", "b=c"),
                ),
            ),
            {"one", "odd"},
        ),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_filters(filled, filters, seen):
    assert set(await found(filled, "plain text", filters=filters)) == seen


@pytest.mark.parametrize(
    "filters",
    [
        comparison("gt", "n", "text"),
        comparison("lt", "n", True),
        comparison("gte", "n", (1.0,)),
        comparison("in", "n", 1.0),
        comparison("nin", "n", "a"),
        comparison("eq", "n", (1.0,)),
        Compound(type="and", filters=()),
        Compound(type="or", filters=(N1, Compound(type="and", filters=(comparison("ne", "n", ("a",)),)))),
    ],
)
async def test_filters_that_make_no_sense_are_refused(index, filters):
    with pytest.raises(InvalidRequest) as refused:
        await index.search(Query(text="x", filters=filters), unit(0), CTX)
    assert refused.value.param == "filters"


async def test_filters_nested_too_deep_are_refused(index):
    deep = N1
    for _ in range(40):
        deep = Compound(type="and", filters=(deep,))
    with pytest.raises(InvalidRequest, match="deep"):
        await index.search(Query(text="x", filters=deep), unit(0), CTX)


async def test_a_filter_leaves_enough_hits_however_rare_its_matches_are(index):
    entries = [entry(f"f{i}", attributes={"keep": i % 50 == 0}) for i in range(500)]
    await index.write(entries, units(*range(500)), [], CTX)
    assert len(await found(index, "plain", filters=comparison("eq", "keep", True), limit=10)) == 10
