"""The comparison that stands in for a cross-encoder."""

from __future__ import annotations

import pytest

from penstock.core.context import start_context
from penstock.core.types import Principal
from penstock.rerank.similarity import SimilarityReranker
from tests.hashing import HashingEmbedder
from tests.rerank.hits import hits_of

CTX = start_context(principal=Principal(), timeout_s=86_400)  # from the import on, through every test of the run


@pytest.fixture
async def make():
    made = []

    async def make(dense_weight: float) -> SimilarityReranker:
        reranker = SimilarityReranker(embedder=HashingEmbedder(), dense_weight=dense_weight, language="english")
        await reranker.start()
        made.append(reranker)
        return reranker

    yield make
    for reranker in made:
        await reranker.stop()


@pytest.mark.parametrize("dense_weight", [0.0, 0.5, 1.0])
async def test_meaning_and_words_each_put_the_answer_first(make, dense_weight):
    reranker = await make(dense_weight)
    hits = await reranker.rerank(
        "length of the rhine", hits_of("cats sleep", "the rhine: length 1233 km", "dogs bark", ""), CTX
    )
    assert hits[0].chunk.position == 1
    assert len(hits) == 4
    assert all(0.0 <= hit.score <= 1.0 for hit in hits)


async def test_words_are_compared_by_their_stems_and_rare_ones_count_more(make):
    reranker = await make(0.0)
    hits = await reranker.rerank("rivers flowing", hits_of("the river", "it flows", "it flowed", "flowing"), CTX)
    assert hits[0].chunk.position == 0
    assert {hit.score for hit in hits[1:]} == {hits[1].score}


async def test_nothing_gives_nothing(make):
    assert await (await make(0.5)).rerank("q", [], CTX) == []


async def test_a_question_of_stop_words_only(make):
    hits = await (await make(0.0)).rerank("the of", hits_of("a", "b"), CTX)
    assert [hit.score for hit in hits] == [0.0, 0.0]
