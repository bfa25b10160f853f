from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.gateway.conftest import client_of
from tests.gateway.world import World

SEARCH = "/v1/vector_stores/rivers/search"
JSON = {"content-type": "application/json"}


async def test_a_body_over_the_limit_is_refused(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(max_body_bytes=1000)

    async def pieces():  # without a content-length
        for _ in range(10):
            yield b" " * 200

    async with client_of(world) as client:
        said = await client.post(SEARCH, content=b" " * 1001, headers=JSON)
        found = await client.post(SEARCH, content=pieces(), headers=JSON)

    assert said.status_code == found.status_code == 413
    assert said.json()["error"]["code"] == "too_large"
    assert "1000" in said.json()["error"]["message"]


async def test_the_question_limit_is_the_settings(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(max_question_chars=10)

    async with client_of(world) as client:
        response = await client.post(SEARCH, json={"query": "x" * 11})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "question_too_long"
