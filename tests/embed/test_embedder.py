"""The embedder as its callers see it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from penstock.core.context import Context, start_context
from penstock.core.errors import DeadlineExceeded, StageUnavailable
from penstock.core.types import Principal
from penstock.embed.openvino import OpenVinoEmbedder
from tests.embed import tiny_encoders as tiny


def context(**more) -> Context:
    return start_context(principal=Principal(), timeout_s=60, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def embedder(folder):
    embedder = OpenVinoEmbedder(model=str(folder), precision="fp32", threads=2, batch_tokens=64)
    embedder.start()
    yield embedder
    embedder.stop()


async def test_order_is_kept_for_texts_of_all_lengths(embedder, folder):
    texts = [tiny.words(1 + (number * 7) % 40, seed=number) for number in range(60)]
    for ctx in (context(), context(priority="ingestion")):
        vectors = await embedder.embed(texts, ctx, kind="passage")
        np.testing.assert_allclose(vectors, [tiny.reference(folder, text) for text in texts], atol=2e-5)
    seen = embedder.totals()
    assert seen.texts == 120
    assert seen.padding < 0.3 * seen.tokens


async def test_rows_have_length_one_and_type_float32(embedder):
    vectors = await embedder.embed([tiny.words(3), tiny.words(30)], context())
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


async def test_nothing_gives_nothing(embedder):
    assert (await embedder.embed([], context())).shape == (0, embedder.dimension)


async def test_an_empty_text_has_a_vector(embedder, folder):
    vectors = await embedder.embed(["", tiny.words(4)], context())
    np.testing.assert_allclose(vectors[0], tiny.reference(folder, ""), atol=2e-5)


async def test_a_text_over_the_window_is_cut(embedder):
    assert embedder.window == tiny.POSITIONS
    long = tiny.words(500)
    cut = " ".join(long.split()[: tiny.POSITIONS - 2])
    vectors = await embedder.embed([long, cut], context())
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


async def test_max_tokens_narrows_the_window_and_changes_the_identity(folder, embedder):
    narrow = OpenVinoEmbedder(model=str(folder), precision="fp32", threads=1, max_tokens=8)
    narrow.start()
    try:
        vectors = await narrow.embed([tiny.words(40), " ".join(tiny.words(40).split()[:6])], context())
        assert narrow.model != embedder.model
    finally:
        narrow.stop()
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


async def test_counting_leaves_the_special_tokens_out_and_cuts_nothing(embedder):
    assert embedder.tokenizer.count(["", tiny.words(3), tiny.words(300)]) == [0, 3, 300]


async def test_prefixes_come_from_the_model(tmp_path):
    folder = tiny.make(tmp_path / "model")
    prompts = {"prompts": {"query": "w1 w2 ", "document": "w3 "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    embedder = OpenVinoEmbedder(model=str(folder), precision="fp32", threads=1)
    embedder.start()
    try:
        asked = await embedder.embed(["w9"], context(), kind="query")
        stored = await embedder.embed(["w9"], context(), kind="passage")
    finally:
        embedder.stop()
    np.testing.assert_allclose(asked[0], tiny.reference(folder, "w1 w2 w9"), atol=2e-5)
    np.testing.assert_allclose(stored[0], tiny.reference(folder, "w3 w9"), atol=2e-5)


async def test_the_time_is_up(embedder):
    with pytest.raises(DeadlineExceeded):
        await embedder.embed(["w1"], start_context(principal=Principal(), timeout_s=-1))


async def test_before_start_and_after_stop(folder):
    embedder = OpenVinoEmbedder(model=str(folder), threads=1)
    with pytest.raises(StageUnavailable):
        await embedder.embed(["w1"], context())
    embedder.start()
    embedder.stop()
    with pytest.raises(StageUnavailable):
        await embedder.embed(["w1"], context())


async def test_a_caller_who_leaves_takes_the_rest_of_his_batches_along(embedder):
    many = [tiny.words(40, seed=number) for number in range(3_000)]
    bulk = asyncio.create_task(embedder.embed(many, context(priority="ingestion")))
    while embedder.totals().batches == 0:
        await asyncio.sleep(0)
    bulk.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bulk
    # What comes next is served, and what was dropped never ran.
    await embedder.embed(many[:100], context(priority="ingestion"))
    assert embedder.totals().texts < 2_500


async def test_a_question_overtakes_a_bulk_call(embedder):
    many = [tiny.words(40, seed=number) for number in range(3_000)]
    bulk = asyncio.create_task(embedder.embed(many, context(priority="ingestion")))
    while embedder.totals().batches == 0:
        await asyncio.sleep(0)
    await embedder.embed(["w1 w2"], context())
    assert not bulk.done()
    assert (await bulk).shape == (3_000, embedder.dimension)


def idle_threads() -> set[str]:
    """Threads of this process that run only where nobody else wants to."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            if os.sched_getscheduler(int(thread.name)) == os.SCHED_IDLE:
                found.add(thread.name)
    return found


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="that way of scheduling is Linux's")
@pytest.mark.parametrize("gives_way", [True, False])
async def test_documents_give_way_and_questions_do_not(folder, gives_way):
    embedder = OpenVinoEmbedder(model=str(folder), threads=2, batch_tokens=64, documents_give_way=gives_way)
    before = idle_threads()
    embedder.start()
    try:
        questions = [tiny.words(5, seed=number) for number in range(8)]
        for _ in range(50):  # until the wide way is there, too
            await embedder.embed(questions, context())
        assert idle_threads() == before
        await embedder.embed(questions, context(priority="ingestion"), kind="passage")
        assert (idle_threads() > before) == gives_way
    finally:
        embedder.stop()


async def test_padding_is_a_setting_and_changes_nothing(folder, embedder):
    exact = OpenVinoEmbedder(model=str(folder), precision="fp32", threads=1, pad_to=1)
    exact.start()
    try:
        texts = [tiny.words(length, seed=length) for length in (1, 6, 7, 20)]
        vectors = [(await exact.embed([text], context()))[0] for text in texts]
        assert exact.totals().padding == 0
        np.testing.assert_allclose(vectors, await embedder.embed(texts, context()), atol=2e-5)
        assert embedder.totals().padding > 0
    finally:
        exact.stop()
