from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from conftest import client_of
from events import events_of, text_of
from world import RIVERS, Scripted, World

from penstock.core.errors import RateLimited, StageUnavailable
from penstock.core.types import Message

PATH = "/v1/chat/completions"


def asking(text: str = "How long is the Rhine?", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


# --- a whole answer ---------------------------------------------------------------


async def test_a_question_is_answered_with_citations_into_the_passages(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=asking())

    assert response.status_code == 200
    answer = response.json()
    message = answer["choices"][0]["message"]
    assert "1,233" in message["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    passages = {passage["number"]: passage for passage in answer["penstock"]["passages"]}
    for annotation in message["annotations"]:
        url, file = annotation["url_citation"], annotation["file_citation"]
        passage = passages[file["number"]]
        assert message["content"][url["start_index"] : url["end_index"]] == f"[{file['number']}]"
        assert passage["text"][file["start"] : file["end"]] == file["quote"]
        assert {"start": file["start"], "end": file["end"]} in passage["quotes"]
        assert (file["file_id"], file["filename"]) == (passage["file_id"], passage["filename"])
    assert message["annotations"]


async def test_the_penstock_object_says_how_the_answer_came_about(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=asking())

    info = response.json()["penstock"]
    assert info["request_id"] == response.headers["x-request-id"]
    assert info["model"] == "penstock-extractive"
    assert info["reason"] == "the first"
    assert info["abstained"] is False
    assert 0 <= info["confidence"] <= 1
    assert list(info["timings_ms"]) == ["embed", "search", "generate"]
    assert info["degraded"] == []
    assert info["passages"][0]["filename"] == "rhine.md"
    assert info["passages"][0]["headings"] == ["The Rhine"]


async def test_what_the_documents_do_not_carry_is_not_answered(client: httpx.AsyncClient) -> None:
    answer = (await client.post(PATH, json=asking("Who painted the ceiling of a chapel?"))).json()

    assert answer["penstock"]["abstained"] is True
    assert answer["choices"][0]["message"]["annotations"] == []


async def test_a_store_without_documents_abstains(client: httpx.AsyncClient, world: World) -> None:
    await world.add("empty", {})

    answer = (await client.post(PATH, json=asking(vector_store_ids=["empty"]))).json()

    assert answer["penstock"]["abstained"] is True
    assert answer["penstock"]["passages"] == []


# --- what the engine is asked -------------------------------------------------------


async def test_the_last_message_is_the_question_and_the_others_the_conversation(
    client: httpx.AsyncClient, world: World
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "the Elbe?"}]},
        {"role": "assistant", "content": None, "refusal": "No.", "annotations": [], "tool_calls": None},
        {"role": "user", "content": "How long is the Rhine?", "name": "ada"},
    ]

    response = await client.post(PATH, json={"messages": messages, "model": "scripted"})

    assert response.status_code == 200, response.text
    prompt = world.engine.prompts[0]
    assert prompt.question == "How long is the Rhine?"
    assert prompt.messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="And\nthe Elbe?"),
        Message(role="assistant", content="No."),
    )


async def test_sampling_reaches_the_engine(client: httpx.AsyncClient, world: World) -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 7, "stop": ["a", "b"], "seed": 3}

    await client.post(PATH, json=asking(model="scripted", **sampling))

    taken = world.engine.prompts[0].sampling
    assert (taken.temperature, taken.top_p, taken.max_tokens, taken.stop, taken.seed) == (0.5, 0.9, 7, ("a", "b"), 3)


async def test_usage_is_the_engines(client: httpx.AsyncClient) -> None:
    answer = (await client.post(PATH, json=asking(model="scripted"))).json()

    assert answer["choices"][0]["message"]["content"] == "One two three"
    assert answer["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


@pytest.mark.parametrize("model", [None, "auto", "default", "penstock-extractive"])
async def test_without_a_model_the_router_decides(client: httpx.AsyncClient, model: str | None) -> None:
    answer = (await client.post(PATH, json=asking(model=model))).json()

    assert answer["model"] == "penstock-extractive"


async def test_an_unknown_model_is_named(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=asking(model="gpt-99"))

    assert response.status_code == 404
    assert response.json()["error"]["param"] == "model"
    assert "gpt-99" in response.json()["error"]["message"]


# --- where is looked ----------------------------------------------------------------


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


async def test_filters_and_the_number_of_passages_hold(client: httpx.AsyncClient) -> None:
    tidal = {"type": "and", "filters": [{"type": "eq", "key": "tidal", "value": True}]}

    answer = (await client.post(PATH, json=asking(filters=tidal))).json()
    one = (await client.post(PATH, json=asking(max_num_results=1))).json()

    assert {passage["filename"] for passage in answer["penstock"]["passages"]} == {"rhine.md", "elbe.md"}
    assert len(one["penstock"]["passages"]) == 1


# --- streamed -----------------------------------------------------------------------


async def test_a_stream_begins_with_the_role_and_ends_with_what_is_known_at_the_end(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=asking(stream=True))

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = events_of(response.text)
    chunks = [chunk for _, chunk in events[:-1]]
    assert events[-1] == ("message", "[DONE]")
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert all("penstock" not in chunk for chunk in chunks[:-1])
    assert all("usage" not in chunk for chunk in chunks)


async def test_a_stream_and_a_whole_answer_say_the_same(client: httpx.AsyncClient) -> None:
    whole = (await client.post(PATH, json=asking())).json()
    events = events_of((await client.post(PATH, json=asking(stream=True))).text)

    last = events[-2][1]
    assert text_of(events) == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["delta"]["annotations"] == whole["choices"][0]["message"]["annotations"]
    assert last["penstock"]["passages"] == whole["penstock"]["passages"]


async def test_usage_comes_last_where_it_is_asked_for(client: httpx.AsyncClient) -> None:
    body = asking(stream=True, model="scripted", stream_options={"include_usage": True})

    events = events_of((await client.post(PATH, json=body)).text)

    chunks = [chunk for _, chunk in events[:-1]]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 10


async def test_text_of_all_kinds_goes_through_a_stream_unchanged(make_world: Callable[..., Awaitable[World]]) -> None:
    words = ['"', "\n\ndata: [DONE]\n\n", "\\", "naïve 🏞", "\u2028", "</script>"]
    world = await make_world(engine=Scripted(words=words))

    async with client_of(world) as client:
        events = events_of((await client.post(PATH, json=asking(stream=True, model="scripted"))).text)

    assert text_of(events) == "".join(words)
    assert events[-1] == ("message", "[DONE]")


# --- when it goes wrong ---------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_before_the_first_word_has_its_own_status(
    make_world: Callable[..., Awaitable[World]], stream: bool
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


# --- how long it may take ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "field", "expected_s"),
    [(None, None, 30.0), ("5", None, 5.0), (None, 4.0, 4.0), ("5", 4.0, 4.0), ("2", 4.0, 2.0), ("1e9", None, 300.0)],
)
async def test_a_caller_says_how_long_within_the_servers_limit(
    client: httpx.AsyncClient, world: World, header: str | None, field: float | None, expected_s: float
) -> None:
    headers = {"x-request-timeout": header} if header else {}

    await client.post(PATH, json=asking(model="scripted", timeout=field), headers=headers)

    remaining_s = world.engine.contexts[0].remaining_s()
    assert expected_s - 1 < remaining_s <= expected_s


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf"])
async def test_a_time_that_is_none_is_refused(client: httpx.AsyncClient, value: str) -> None:
    response = await client.post(PATH, json=asking(), headers={"x-request-timeout": value})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "X-Request-Timeout"


async def test_when_the_time_is_up_the_engine_is_stopped(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(engine=Scripted(pause_s=60.0))

    async with client_of(world) as client:
        await client.post("/v1/vector_stores/rivers/search", json={"query": "warm"})  # so that the time is the engine's
        response = await client.post(PATH, json=asking(model="scripted", timeout=0.5))

    assert response.status_code == 504
    assert response.json()["error"]["code"] == "deadline_exceeded"
    assert world.engine.closed.is_set()
