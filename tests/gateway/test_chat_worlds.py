"""Chat with stores and engines of each test's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from penstock.core.errors import RateLimited, StageUnavailable
from tests.gateway.conftest import client_of
from tests.gateway.events import events_of, text_of
from tests.gateway.world import RIVERS, Scripted, World

PATH = "/v1/chat/completions"


def asking(text: str = "How long is the Rhine?", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def test_a_store_without_documents_abstains(client: httpx.AsyncClient, world: World) -> None:
    await world.add("empty", {})

    answer = (await client.post(PATH, json=asking(vector_store_ids=["empty"]))).json()

    assert answer["penstock"]["abstained"] is True
    assert answer["penstock"]["passages"] == []


async def test_stores_are_meant_by_name_or_id_and_all_by_default(client: httpx.AsyncClient, world: World) -> None:
    other = await world.add("other", {"lake.md": ("Lake", "Lake Constance is 63 kilometres long.", {})})

    async def stores_of(**more: Any) -> set[str]:
        answer = (await client.post(PATH, json=asking("How long?", **more))).json()
        return {passage["store_id"] for passage in answer["penstock"]["passages"]}

    assert await stores_of() == {world.rivers, other.id}
    assert await stores_of(vector_store_ids=["rivers"]) == {world.rivers}
    assert await stores_of(vector_store_ids=[other.id, "other"]) == {other.id}


async def test_an_unknown_store_is_named_and_so_is_another_tenants(client: httpx.AsyncClient, world: World) -> None:
    foreign = await world.add("secret", RIVERS, tenant="somebody")

    for name in ("nowhere", "secret", foreign.id):
        response = await client.post(PATH, json=asking(vector_store_ids=["rivers", name]))
        assert response.status_code == 404
        assert response.json()["error"] == {
            "message": f"No vector store found with id '{name}'.",
            "type": "invalid_request_error",
            "param": "vector_store_ids[1]",
            "code": "not_found",
        }


async def test_text_of_all_kinds_goes_through_a_stream_unchanged(make_world: Callable[..., Awaitable[World]]) -> None:
    words = ['"', "\n\ndata: [DONE]\n\n", "\\", "naïve 🏞", "\u2028", "</script>"]
    world = await make_world(engine=Scripted(words=words))

    async with client_of(world) as client:
        events = events_of((await client.post(PATH, json=asking(stream=True, model="scripted"))).text)

    assert text_of(events) == "".join(words)
    assert events[-1] == ("message", "[DONE]")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_before_the_first_word_has_its_own_status(
    make_world: Callable[..., Awaitable[World]], *, stream: bool
) -> None:
    world = await make_world(engine=Scripted(words=[], fails=RateLimited("Too many.", retry_after_s=1.2)))

    async with client_of(world) as client:
        response = await client.post(PATH, json=asking(stream=stream, model="scripted"))

    assert response.status_code == 429
    assert response.headers["retry-after"] == "2"
    assert response.json()["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("fails", [StageUnavailable("generate", "gone"), None])
async def test_an_error_in_a_stream_is_an_event_and_never_looks_like_the_end(
    make_world: Callable[..., Awaitable[World]], fails: Exception | None
) -> None:
    world = await make_world(engine=Scripted(fails=fails, ends=False))

    async with client_of(world) as client:
        events = events_of((await client.post(PATH, json=asking(stream=True, model="scripted"))).text)

    assert text_of(events[:-1]) == "One two three"
    name, data = events[-1]
    assert name == "error"
    assert data["error"]["code"] == "stage_unavailable"
    assert ("message", "[DONE]") not in events
    assert world.engine.closed.is_set()


async def test_half_an_answer_is_never_given_whole(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(engine=Scripted(ends=False))

    async with client_of(world) as client:
        response = await client.post(PATH, json=asking(model="scripted"))

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


async def test_a_bug_of_ours_tells_callers_nothing_but_its_id(
    make_world: Callable[..., Awaitable[World]], caplog: pytest.LogCaptureFixture
) -> None:
    world = await make_world(engine=Scripted(words=[], fails=ZeroDivisionError("secret")))

    async with client_of(world) as client:
        response = await client.post(PATH, json=asking(model="scripted"))

    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.headers["x-request-id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_answers_are_counted_by_how_they_ended(client: httpx.AsyncClient, world: World) -> None:
    await client.post(PATH, json=asking())
    await client.post(PATH, json=asking("Who painted the ceiling of a chapel?"))

    metrics = (await client.get("/metrics")).text
    assert 'penstock_answers_total{model="penstock-extractive",outcome="answered"} 1.0' in metrics
    assert 'penstock_answers_total{model="penstock-extractive",outcome="abstained"} 1.0' in metrics


async def test_when_the_time_is_up_the_engine_is_stopped(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(engine=Scripted(pause_s=60.0))

    async with client_of(world) as client:
        await client.post("/v1/vector_stores/rivers/search", json={"query": "warm"})  # so that the time is the engine's
        response = await client.post(PATH, json=asking(model="scripted", timeout=0.5))

    assert response.status_code == 504
    assert response.json()["error"]["code"] == "deadline_exceeded"
    assert world.engine.closed.is_set()


@pytest.mark.parametrize("stores", [{"vector_store_ids": []}, {}], ids=["none named", "none there"])
async def test_where_no_store_is_asked_the_model_gets_the_conversation(
    make_world: Callable[..., Awaitable[World]], stores: dict[str, Any]
) -> None:
    world = await make_world(empty=not stores)

    async with client_of(world) as client:
        answer = (await client.post(PATH, json=asking(model="scripted", **stores))).json()

    assert answer["choices"][0]["message"]["content"] == "One two three"
    assert answer["penstock"]["passages"] == []
    assert world.engine.prompts[0].grounded is False
