from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from penstock.core.types import FileRecord
from penstock.gateway.directory import MOST_STORES
from penstock.gateway.routes.vector_stores import best_of, file_counts, paged
from penstock.gateway.wire.vector_stores import ListQuery
from tests.gateway.conftest import client_of
from tests.gateway.world import DIMENSION, RIVERS, World

PATH = "/v1/vector_stores"


# --- stores -------------------------------------------------------------------------


async def test_a_store_is_described_in_openais_words(client: httpx.AsyncClient, world: World) -> None:
    await world.ledger.put([FileRecord(store_id=world.rivers, file_id="f", filename="f", status="queued")])
    await world.ledger.put([FileRecord(store_id=world.rivers, file_id="g", filename="g", status="failed")])

    store = (await client.get(f"{PATH}/{world.rivers}")).json()

    assert store["object"] == "vector_store"
    assert (store["id"], store["name"]) == (world.rivers, "rivers")
    assert store["file_counts"] == {"in_progress": 1, "completed": 3, "failed": 1, "cancelled": 0, "total": 5}
    assert store["status"] == "in_progress"
    assert store["usage_bytes"] == sum(len(text) for _, text, _ in RIVERS.values())
    assert (await client.get(f"{PATH}/rivers")).json() == store


async def test_unknown_and_foreign_stores_read_the_same(client: httpx.AsyncClient, world: World) -> None:
    foreign = await world.add("secret", RIVERS, tenant="somebody")

    for path in (f"{PATH}/nowhere", f"{PATH}/{foreign.id}", f"{PATH}/secret"):
        response = await client.get(path)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "not_found"
    listed = (await client.get(PATH)).json()["data"]
    assert [store["id"] for store in listed] == [world.rivers]


async def test_stores_are_listed_page_by_page_newest_first(client: httpx.AsyncClient, world: World) -> None:
    for number in range(4):
        await world.stores.named("default", f"store {number}", embedder="hashing-64", dimension=64)

    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await client.get(PATH, params={"limit": 2, **after})).json()
        seen += [store["name"] for store in page["data"]]
        assert page["last_id"] == page["data"][-1]["id"]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}

    assert seen == ["store 3", "store 2", "store 1", "store 0", "rivers"]
    oldest = (await client.get(PATH, params={"order": "asc", "limit": 1})).json()
    assert [store["name"] for store in oldest["data"]] == ["rivers"]
    before = (await client.get(PATH, params={"before": after["after"], "limit": 2})).json()
    assert [store["name"] for store in before["data"]] == ["store 2", "store 1"][-2:] or before["has_more"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"order": "up"}, "order"),
        ({"after": "vs_none"}, "after"),
        ({"before": "vs_none"}, "before"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_page_is_named(client: httpx.AsyncClient, params: dict[str, str], param: str) -> None:
    response = await client.get(PATH, params=params)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_paging_backwards_takes_what_stands_right_before(world_free_stores: list[Any]) -> None:
    query = ListQuery(order="asc", before="4", limit=2)

    page, has_more = paged(world_free_stores, query)

    assert [store.id for store in page] == ["2", "3"]
    assert has_more


@pytest.fixture
def world_free_stores() -> list[Any]:
    from penstock.core.types import Store

    return [Store(id=str(n), tenant="t", name=str(n), embedder="m", dimension=2, created_s=float(n)) for n in range(6)]


async def test_a_name_with_odd_characters_is_a_name(client: httpx.AsyncClient, world: World) -> None:
    await world.stores.named("default", "a b/ü", embedder="hashing-64", dimension=64)

    assert (await client.get(f"{PATH}/a%20b%2F%C3%BC")).status_code in (200, 404)  # a slash never means another route
    for name in ("..", "%2e%2e%2f", "%00", "x" * 9000, "%ff%fe"):
        response = await client.get(f"{PATH}/{name}/search")
        assert response.status_code in (404, 405)
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_whatever_is_not_at_rest_is_in_progress() -> None:
    counts = file_counts({"queued": 1, "parsing": 2, "embedding": 3, "indexing": 4, "completed": 5, "cancelled": 6})

    assert (counts.in_progress, counts.completed, counts.failed, counts.cancelled, counts.total) == (10, 5, 0, 6, 21)


def test_a_chunk_found_twice_keeps_its_best_score() -> None:
    from penstock.core.types import Chunk, Found, Hit

    def hit(chunk: str, score: float) -> Hit:
        return Hit(
            store_id="s",
            file_id="f",
            filename="f",
            chunk=Chunk(id=chunk, position=0, text=chunk),
            title="",
            score=score,
        )

    first, second = Found(hits=(hit("a", 0.9), hit("b", 0.2))), Found(hits=(hit("b", 0.8), hit("c", 0.1)))

    best = best_of([first, second], 2)

    assert [(each.chunk.id, each.score) for each in best] == [("a", 0.9), ("b", 0.8)]


async def test_a_new_store_is_open_before_anybody_asks_it(client: httpx.AsyncClient, world: World) -> None:
    store = (await client.post("/v1/vector_stores", json={"name": "fresh"})).json()

    assert [key for key, _ in world.indexes._open] == [store["id"]]


async def test_a_store_that_cannot_be_opened_was_never_made(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    world = await make_world(empty=True)
    (world.folder / "stores").write_text("no folder")
    async with client_of(world) as client:
        refused = await client.post("/v1/vector_stores", json={"name": "fresh"})
        listed = (await client.get("/v1/vector_stores")).json()

    assert (refused.status_code, refused.json()["error"]["type"]) == (500, "server_error")
    assert listed["data"] == []


async def test_more_stores_than_one_question_can_search_must_be_named(world: World, client: httpx.AsyncClient) -> None:
    for number in range(MOST_STORES):
        await world.stores.named("default", f"store {number}", embedder=world.embedder.model, dimension=DIMENSION)
    question = {"messages": [{"role": "user", "content": "How long is the Rhine?"}]}

    refused = await client.post("/v1/chat/completions", json=question)
    named = await client.post("/v1/chat/completions", json={**question, "vector_store_ids": ["rivers"]})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "vector_store_ids")
    assert named.status_code == 200
