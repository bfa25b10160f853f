"""`/v1/rerank` in Cohere's shape, with and without a reranker."""

from __future__ import annotations

import pytest

from penstock.rerank.remote import RemoteReranker
from tests.gateway.conftest import client_of
from tests.rerank.server import RerankServer

TEXTS = ["Cats sleep most of the day.", "The Rhine is 1,233 kilometres long.", "The Rhine flows into the North Sea."]


async def test_the_answer_has_coheres_shape(client):
    answer = await client.post("/v1/rerank", json={"query": "How long is the Rhine?", "documents": TEXTS, "top_n": 2})
    assert answer.status_code == 200
    body = answer.json()
    assert body["model"] == "penstock-similarity"
    assert body["id"].startswith("rerank-")
    assert body["meta"] == {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}}
    assert [set(result) for result in body["results"]] == [{"index", "relevance_score"}] * 2
    assert body["results"][0]["index"] == 1
    scores = [result["relevance_score"] for result in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)


async def test_newer_clients_find_it_under_v2(client):
    answer = await client.post("/v2/rerank", json={"model": "auto", "query": "Rhine", "documents": TEXTS})
    assert answer.json()["meta"]["api_version"] == {"version": "2"}
    assert len(answer.json()["results"]) == 3


async def test_documents_may_be_objects_and_come_back_on_request(client):
    answer = await client.post(
        "/v1/rerank",
        json={"query": "Rhine", "documents": [{"text": "x"}, "the rhine"], "return_documents": True},
    )
    assert {result["index"]: result["document"] for result in answer.json()["results"]} == {
        0: {"text": "x"},
        1: {"text": "the rhine"},
    }


async def test_only_the_beginning_of_a_long_document_is_read(client):
    documents = ["a b c d e f g rhine", "rhine x y z"]
    whole = await client.post("/v1/rerank", json={"query": "rhine", "documents": [documents[0]]})
    cut = await client.post("/v1/rerank", json={"query": "rhine", "documents": [documents[0]], "max_tokens_per_doc": 4})
    assert cut.json()["results"][0]["relevance_score"] < whole.json()["results"][0]["relevance_score"]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"query": " "}, 400, "query"),
        ({"query": "x" * 9_000}, 400, "query"),
        ({"documents": []}, 400, "documents"),
        ({"documents": ["x"] * 1_001}, 400, "documents"),
        ({"documents": [{"title": "x"}]}, 400, "documents[0].title"),
        ({"top_n": 0}, 400, "top_n"),
        ({"model": "rerank-v9"}, 404, "model"),
        ({"rank_fields": ["title"]}, 400, "rank_fields"),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(client, change, status, param):
    answer = await client.post("/v1/rerank", json={"query": "Rhine", "documents": TEXTS, **change})
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


async def test_a_reranker_answers_under_its_name_and_the_similarity_stands_in_when_it_does_not(make_world):
    async with RerankServer() as server:
        reranker = RemoteReranker(url=f"{server.url}/v1/rerank", model="their-model")
        await reranker.start()
        world = await make_world(reranker=reranker)
        async with client_of(world) as client:
            ask = {"query": "rhine sea", "documents": TEXTS, "model": "their-model", "timeout": 0.5}
            good = await client.post("/v1/rerank", json=ask)
            server.pause_s = 30.0
            slow = await client.post("/v1/rerank", json=ask)
            server.pause_s, server.status = 0.0, 500
            dead = await client.post("/v1/rerank", json=ask)
        await reranker.stop()
    assert good.json()["model"] == "their-model"
    assert "warnings" not in good.json()["meta"]
    for answer, why in ((slow, "no answer in its time"), (dead, "it is not available")):
        assert answer.status_code == 200
        assert answer.json()["model"] == "penstock-similarity"
        assert answer.json()["meta"]["warnings"] == [f"rerank: {why}; penstock-similarity compared instead"]
        assert why in answer.headers["x-penstock-degraded"]
        assert len(answer.json()["results"]) == 3
