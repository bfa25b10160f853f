"""The cross-encoder against an independent forward pass, and as its callers see it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from penstock.core.context import Context, start_context
from penstock.core.errors import DeadlineExceeded, ModelMissing, StageUnavailable
from penstock.core.types import Principal
from penstock.flow.batcher import BatchReport
from penstock.rerank.cross import CrossEncoder
from tests.embed import tiny_encoders as tiny
from tests.rerank import tiny_cross
from tests.rerank.hits import hits_of


def context(timeout_s: float = 60.0) -> Context:
    return start_context(principal=Principal(), timeout_s=timeout_s)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_cross.make(tmp_path_factory.mktemp("models") / "tiny-cross")


@pytest.fixture
async def reranker(folder):
    reranker = CrossEncoder(model=str(folder), precision="fp32")
    await reranker.start()
    yield reranker
    await reranker.stop()


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "distilbert"])
async def test_scores_are_those_of_the_published_forward_pass(tmp_path, kind):
    folder = tiny_cross.make(tmp_path / kind, kind=kind)
    reranker = CrossEncoder(model=str(folder), precision="fp32")
    await reranker.start()
    query = tiny.words(4, seed=99)
    texts = [tiny.words(1 + (number * 7) % 30, seed=number) for number in range(20)]
    hits = await reranker.rerank(query, hits_of(*texts), context())
    await reranker.stop()
    expected = {text: tiny_cross.reference(folder, query, text) for text in texts}
    np.testing.assert_allclose([hit.score for hit in hits], [expected[hit.chunk.text] for hit in hits], atol=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len({round(score, 4) for score in expected.values()}) > 10


async def test_the_passage_is_read_under_its_title(reranker, folder):
    (hit,) = await reranker.rerank("w1 w2", hits_of("w3 w4", title="w5"), context())
    assert hit.score == pytest.approx(tiny_cross.reference(folder, "w1 w2", "w5 w3 w4"), abs=1e-5)


async def test_a_pair_over_the_window_is_cut_and_still_scored(reranker):
    (hit,) = await reranker.rerank("w1", hits_of(tiny.words(500)), context())
    assert 0.0 < hit.score < 1.0


async def test_nothing_found_stays_nothing(reranker):
    assert await reranker.rerank("w1", [], context()) == []


async def test_questions_that_come_together_share_a_pass(folder):
    reports: list[BatchReport] = []
    reranker = CrossEncoder(model=str(folder), precision="fp32", observe=reports.append)
    await reranker.start()
    answers = await asyncio.gather(
        *(reranker.rerank(tiny.words(3, seed=n), hits_of("w1 w2", "w3 w4"), context()) for n in range(8))
    )
    await reranker.stop()
    assert max(report.items for report in reports) > 2
    for number, hits in enumerate(answers):
        for hit in hits:
            expected = tiny_cross.reference(folder, tiny.words(3, seed=number), hit.chunk.text)
            assert hit.score == pytest.approx(expected, abs=1e-5)


async def test_a_time_that_is_up_starts_nothing(reranker):
    with pytest.raises(DeadlineExceeded):
        await reranker.rerank("w1", hits_of("w2"), context(timeout_s=0.0))


async def test_before_its_start_it_is_not_available(folder):
    with pytest.raises(StageUnavailable, match="not started"):
        await CrossEncoder(model=str(folder)).rerank("w1", hits_of("w2"), context())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
async def test_it_computes_in_the_precision_asked_for(folder, precision):
    reranker = CrossEncoder(model=str(folder), precision=precision)
    await reranker.start()
    assert reranker.precision == precision
    (hit,) = await reranker.rerank("w1 w2", hits_of("w3 w4"), context())
    await reranker.stop()
    assert hit.score == pytest.approx(tiny_cross.reference(folder, "w1 w2", "w3 w4"), abs=0.03)


async def test_a_model_that_scores_no_pairs_is_refused_by_name(tmp_path):
    for folder, why in (
        (tiny.make(tmp_path / "encoder"), "it is an encoder, not a cross-encoder"),
        (tiny_cross.make(tmp_path / "classes", labels=3), "into 3 classes"),
    ):
        with pytest.raises(ModelMissing, match=why) as caught:
            await CrossEncoder(model=str(folder)).start()
        assert caught.value.param == "rerank.model"


async def test_a_model_that_is_nowhere_says_what_to_do():
    with pytest.raises(ModelMissing) as caught:
        await CrossEncoder(model="./nowhere").start()
    for part in ("nowhere", "(1)", "set rerank.model to its path", "(2)", "(3)", "leave rerank.model empty"):
        assert part in caught.value.message
