"""A reranker behind a URL: what is sent, what is read, and what each fault becomes."""

from __future__ import annotations

import asyncio

import pytest

from penstock.core.context import Context, start_context
from penstock.core.errors import DeadlineExceeded, Overloaded, StageUnavailable
from penstock.core.types import Principal
from penstock.flow.breaker import Breaker
from penstock.rerank.guarded import GuardedReranker
from penstock.rerank.remote import RemoteReranker
from tests.rerank.hits import hits_of
from tests.rerank.server import RerankServer

TEXTS = ("about cats", "how long is the rhine", "the rhine")


def context(timeout_s: float = 5.0) -> Context:
    return start_context(principal=Principal(), timeout_s=timeout_s)


@pytest.fixture
async def server():
    async with RerankServer() as server:
        yield server


@pytest.fixture
async def reranker(server):
    reranker = RemoteReranker(url=f"{server.url}/v1/rerank", model="their-model", key="secret")
    await reranker.start()
    yield reranker
    await reranker.stop()


async def test_cohere_shape(server, reranker):
    ctx = context()
    hits = await reranker.rerank("long rhine", hits_of(*TEXTS, title="River"), ctx)
    assert [(hit.chunk.position, hit.score) for hit in hits] == [(1, 1.0), (2, 0.5), (0, 0.0)]
    body, headers = server.requests[0]
    assert body == {
        "query": "long rhine",
        "documents": [f"River\n{text}" for text in TEXTS],
        "top_n": 3,
        "model": "their-model",
    }
    assert headers["Authorization"] == "Bearer secret"
    assert headers["X-Request-Id"] == ctx.request_id
    assert 4000 < int(headers["X-Penstock-Timeout-Ms"]) <= 5000


async def test_tei_shape(server):
    reranker = RemoteReranker(url=f"{server.url}/rerank", api="tei")
    await reranker.start()
    hits = await reranker.rerank("long rhine", hits_of(*TEXTS), context())
    await reranker.stop()
    assert [hit.chunk.position for hit in hits] == [1, 2, 0]
    assert server.requests[0][0]["truncate"] is True


async def test_logits_become_scores(server, reranker):
    server.answer = b'{"results":[{"index":0,"relevance_score":-800},{"index":1,"relevance_score":9.5}]}'
    hits = await reranker.rerank("q", hits_of("a", "b"), context())
    assert [hit.chunk.position for hit in hits] == [1, 0]
    assert 0.0 <= hits[1].score < hits[0].score <= 1.0


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json",
        b"[]",
        b'{"results":[]}',
        b'{"results":[{"index":0,"relevance_score":0.5}]}',
        b'{"results":[{"index":0,"relevance_score":0.5},{"index":7,"relevance_score":0.5}]}',
        b'{"results":[{"index":0,"relevance_score":0.5},{"index":0,"relevance_score":0.5}]}',
        b'{"results":[{"index":0},{"index":1}]}',
        b'{"results":[{"index":0,"relevance_score":1e999},{"index":1,"relevance_score":0.5}]}',
        b" " * 1_100_000,
    ],
)
async def test_an_answer_that_is_not_whole_is_none(server, reranker, answer):
    server.answer = answer
    with pytest.raises(StageUnavailable):
        await reranker.rerank("q", hits_of("a", "b"), context())


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (500, {}, StageUnavailable),
        (401, {}, StageUnavailable),
        (307, {"Location": "http://127.0.0.1:1/"}, StageUnavailable),
        (429, {"Retry-After": "7"}, Overloaded),
        (503, {"Retry-After": "7"}, Overloaded),
    ],
)
async def test_a_refusal_is_one_of_our_errors(server, reranker, status, headers, error):
    server.status, server.headers = status, headers
    with pytest.raises(error) as caught:
        await reranker.rerank("q", hits_of("a"), context())
    assert getattr(caught.value, "retry_after_s", 7.0) == 7.0
    assert len(server.requests) == 1


async def test_a_silent_server_is_left_at_the_deadline(server, reranker):
    server.pause_s = 30.0
    with pytest.raises(DeadlineExceeded):
        await reranker.rerank("q", hits_of("a"), context(timeout_s=0.2))
    await asyncio.wait_for(server.left.wait(), 2.0)


async def test_a_server_that_is_not_there():
    reranker = RemoteReranker(url="http://127.0.0.1:9/rerank")
    await reranker.start()
    with pytest.raises(StageUnavailable, match="cannot be reached"):
        await reranker.rerank("q", hits_of("a"), context())
    await reranker.stop()


async def test_a_passing_fault_is_tried_again_within_the_requests_budget(server, reranker):
    guarded = GuardedReranker(reranker=reranker, breaker=Breaker(name="rerank"))
    server.status = 500
    ctx = context()
    with pytest.raises(StageUnavailable):
        await guarded.rerank("q", hits_of("a"), ctx)
    assert len(server.requests) == 3  # two retries are all that a request has
    assert ctx.retries.left == 0


async def test_a_server_that_fails_repeatedly_is_left_alone(server, reranker):
    guarded = GuardedReranker(reranker=reranker, breaker=Breaker(name="rerank", open_s=60.0))
    server.status = 500
    for _ in range(20):
        with pytest.raises(StageUnavailable):
            await guarded.rerank("q", hits_of("a"), context())
    assert len(server.requests) == 5
