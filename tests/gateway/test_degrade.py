"""A dead or slow reranker, short time and pressure, as callers see them: smaller answers that say so, and no errors."""

from __future__ import annotations

import asyncio
import time

import pytest

from penstock.config import DegradeSettings, FlowSettings, RerankSettings
from penstock.flow.breaker import Breaker
from penstock.rerank.guarded import GuardedReranker
from penstock.rerank.remote import RemoteReranker
from tests.gateway.conftest import client_of
from tests.gateway.events import events_of
from tests.gateway.world import Scripted
from tests.rerank.server import RerankServer

SEARCH = "/v1/vector_stores/rivers/search"
ASK = {"messages": [{"role": "user", "content": "the danube is"}], "vector_store_ids": ["rivers"]}
SETTINGS = RerankSettings(url="-", timeout_s=0.3, candidates=3)


@pytest.fixture
async def server():
    async with RerankServer() as server:
        yield server


@pytest.fixture
async def make_client(server, make_world):
    opened = []

    async def make(*, breaker: Breaker | None = None, **options):
        remote = RemoteReranker(url=f"{server.url}/v1/rerank")
        await remote.start()
        guarded = GuardedReranker(reranker=remote, breaker=breaker or Breaker(name="rerank", patience_s=0.27))
        world = await make_world(reranker=guarded, rerank=options.pop("rerank", SETTINGS), **options)
        client = client_of(world)
        client.world = world
        opened.extend([client.aclose, remote.stop])
        return client

    yield make
    for close in opened:
        await close()


async def searched(client, query="the danube is", **more):
    answer = await client.post(SEARCH, json={"query": query, **more})
    assert answer.status_code == 200, answer.text
    return [hit["filename"] for hit in answer.json()["data"]], answer


async def test_hits_come_in_the_rerankers_order(server, make_client):
    client = await make_client()
    server.answer = (
        b'{"results":[{"index":0,"relevance_score":0.1},{"index":1,"relevance_score":0.2},'
        b'{"index":2,"relevance_score":0.9}]}'
    )
    names, answer = await searched(client)
    plain, _ = await searched(client, ranking_options={"ranker": "none"})
    assert names == plain[::-1]
    assert [hit["score"] for hit in answer.json()["data"]] == [0.9, 0.2, 0.1]
    assert "rerank;dur=" in answer.headers["server-timing"]
    assert "x-penstock-degraded" not in answer.headers
    assert len(server.requests) == 1  # a caller who wants no ranker has none


async def test_more_is_read_again_than_is_asked_for_and_the_rest_stays_behind(server, make_client):
    client = await make_client(rerank=RerankSettings(url="-", timeout_s=5.0, candidates=2))
    server.answer = b'{"results":[{"index":0,"relevance_score":0.1},{"index":1,"relevance_score":0.9}]}'
    one, _ = await searched(client, max_num_results=1)
    assert len(server.requests[0][0]["documents"]) == 2
    three, answer = await searched(client, max_num_results=3)
    assert one == three[:1]
    scores = [hit["score"] for hit in answer.json()["data"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[1] == 0.1 > scores[2]


@pytest.mark.parametrize("fault", ["slow", "broken", "nonsense", "away"])
async def test_a_reranker_that_does_not_answer_is_a_labelled_smaller_answer(server, make_client, fault):
    client = await make_client()
    plain, _ = await searched(client, ranking_options={"ranker": "none"})
    if fault == "slow":
        server.pause_s = 30.0
    elif fault == "broken":
        server.status = 500
    elif fault == "nonsense":
        server.answer = b"<html>"
    else:
        await server.__aexit__()
    began_s = time.monotonic()
    names, answer = await searched(client)
    assert names == plain
    assert answer.headers["x-penstock-degraded"].startswith("rerank: left out, ")
    chat = await client.post("/v1/chat/completions", json=ASK)
    assert chat.status_code == 200
    assert chat.json()["penstock"]["degraded"][0].startswith("rerank: left out, ")
    assert time.monotonic() - began_s < 10.0
    events = events_of((await client.post("/v1/chat/completions", json={**ASK, "stream": True})).text)
    told = [event["penstock"]["degraded"] for _, event in events if "penstock" in event]
    assert told[-1][0].startswith("rerank: left out, ")
    metrics = (await client.get("/metrics")).text
    assert 'penstock_degraded_total{cause="failure",step="rerank"}' in metrics


async def test_a_slow_reranker_is_left_alone_after_a_few_questions(server, make_client):
    client = await make_client(breaker=Breaker(name="rerank", patience_s=0.27, open_s=60.0))
    server.pause_s = 30.0
    for _ in range(8):
        _, answer = await searched(client)
        assert "x-penstock-degraded" in answer.headers
    assert len(server.requests) == 5


async def test_with_too_little_time_for_it_the_reranker_is_not_asked(server, make_client):
    client = await make_client(rerank=RerankSettings(url="-", timeout_s=20.0, candidates=3))
    server.pause_s = 0.5
    await searched(client)
    _, answer = await searched(client, timeout=0.45)
    assert "rerank: left out, it takes 0.5" in answer.headers["x-penstock-degraded"]
    assert len(server.requests) == 1
    await searched(client, timeout=10)
    assert len(server.requests) == 2


async def test_switched_off_nothing_is_left_out_beforehand(server, make_client):
    client = await make_client(
        rerank=RerankSettings(url="-", timeout_s=20.0, candidates=3), degrade=DegradeSettings(enabled=False)
    )
    client.world.pressure.watch("test", lambda: 9.0)
    await asyncio.sleep(0.3)
    _, answer = await searched(client)
    assert "x-penstock-degraded" not in answer.headers
    assert len(server.requests) == 1


async def test_under_pressure_answers_get_smaller_and_say_so(server, make_client):
    engine = Scripted()
    client = await make_client(
        engine=engine,
        first="scripted",
        degrade=DegradeSettings(passages=1, passages_pressure=0.85),
        flow=FlowSettings(max_answers=20),
    )
    # all places but one are held
    engine.pause_s = 0.5
    pressing = [asyncio.create_task(client.post("/v1/chat/completions", json=ASK)) for _ in range(19)]
    await engine.started.wait()
    level = client.world.pressure.level
    while level() < 0.87:
        await asyncio.sleep(0.02)
    _, answer = await searched(client)
    assert "rerank: left out, the server is busy" in answer.headers["x-penstock-degraded"]
    last = await client.post("/v1/chat/completions", json=ASK)
    await asyncio.gather(*pressing)
    told = last.json()["penstock"]
    assert [said.partition(":")[0] for said in told["degraded"]] == ["rerank", "passages"]
    assert len(told["passages"]) == 1
    assert len(engine.prompts[-1].passages) == 1
