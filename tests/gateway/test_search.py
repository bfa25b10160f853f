from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.gateway.world import RIVERS

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEARCH = "/v1/vector_stores/rivers/search"


def names(response: httpx.Response) -> list[str]:
    return [item["filename"] for item in response.json()["data"]]


async def test_the_best_passage_comes_first(reader: httpx.AsyncClient) -> None:
    response = await reader.post(SEARCH, json={"query": "How long is the Danube?"})

    page = response.json()
    assert response.status_code == 200
    assert page["object"] == "vector_store.search_results.page"
    assert page["search_query"] == ["How long is the Danube?"]
    assert (page["has_more"], page["next_page"]) == (False, None)
    best = page["data"][0]
    assert best["filename"] == "danube.md"
    assert best["attributes"] == {"country": "Germany", "length_km": 2850.0, "tidal": False}
    assert best["content"] == [{"type": "text", "text": RIVERS["danube.md"][1]}]
    scores = [item["score"] for item in page["data"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_timings_stand_in_a_header(reader: httpx.AsyncClient) -> None:
    timing = (await reader.post(SEARCH, json={"query": "Rhine"})).headers["server-timing"]

    assert [part.split(";")[0] for part in timing.split(", ")] == ["embed", "search"]


async def test_several_queries_give_each_chunk_once(reader: httpx.AsyncClient) -> None:
    response = await reader.post(SEARCH, json={"query": ["Danube", "Elbe"], "rewrite_query": True})

    assert response.json()["search_query"] == ["Danube", "Elbe"]
    assert set(names(response)[:2]) == {"danube.md", "elbe.md"}
    assert len(names(response)) == len(set(names(response)))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "eq", "key": "country", "value": "Germany"}, {"danube.md"}),
        ({"type": "ne", "key": "country", "value": "Germany"}, {"rhine.md", "elbe.md"}),
        ({"type": "gt", "key": "length_km", "value": 1233}, {"danube.md"}),
        ({"type": "gte", "key": "length_km", "value": 1233}, {"danube.md", "rhine.md"}),
        ({"type": "in", "key": "country", "value": ["Germany", "Czechia"]}, {"danube.md", "elbe.md"}),
        ({"type": "nin", "key": "country", "value": ["Germany", "Czechia"]}, {"rhine.md"}),
        (
            {
                "type": "or",
                "filters": [
                    {"type": "lt", "key": "length_km", "value": 1100},
                    {
                        "type": "and",
                        "filters": [
                            {"type": "eq", "key": "tidal", "value": True},
                            {"type": "eq", "key": "country", "value": "Switzerland"},
                        ],
                    },
                ],
            },
            {"elbe.md", "rhine.md"},
        ),
    ],
)
async def test_filters_hold(reader: httpx.AsyncClient, filters: dict[str, Any], expected: set[str]) -> None:
    response = await reader.post(SEARCH, json={"query": "How long is the river?", "filters": filters})

    assert set(names(response)) == expected


async def test_limit_and_threshold_hold(reader: httpx.AsyncClient) -> None:
    query = "How long is the Rhine?"

    limited = await reader.post(SEARCH, json={"query": query, "max_num_results": 1})
    scores = [item["score"] for item in (await reader.post(SEARCH, json={"query": query})).json()["data"]]
    bounded = await reader.post(SEARCH, json={"query": query, "ranking_options": {"score_threshold": scores[1]}})

    assert names(limited) == ["rhine.md"]
    assert len(names(bounded)) == 2
