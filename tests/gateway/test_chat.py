from __future__ import annotations

from typing import Any

import httpx
import pytest

from penstock.core.types import Message
from tests.gateway.events import events_of, text_of
from tests.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/chat/completions"


def asking(text: str = "How long is the Rhine?", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


# --- a whole answer ---------------------------------------------------------------


async def test_a_question_is_answered_with_citations_into_the_passages(reader: httpx.AsyncClient) -> None:
    response = await reader.post(PATH, json=asking())

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


async def test_the_penstock_object_says_how_the_answer_came_about(reader: httpx.AsyncClient) -> None:
    response = await reader.post(PATH, json=asking())

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


async def test_what_the_documents_do_not_carry_is_not_answered(reader: httpx.AsyncClient) -> None:
    answer = (await reader.post(PATH, json=asking("Who painted the ceiling of a chapel?"))).json()

    assert answer["penstock"]["abstained"] is True
    assert answer["choices"][0]["message"]["annotations"] == []


# --- what the engine is asked -------------------------------------------------------


async def test_the_last_message_is_the_question_and_the_others_the_conversation(
    reader: httpx.AsyncClient, shared: World
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "the Elbe?"}]},
        {"role": "assistant", "content": None, "refusal": "No.", "annotations": [], "tool_calls": None},
        {"role": "user", "content": "How long is the Rhine?", "name": "ada"},
    ]

    response = await reader.post(PATH, json={"messages": messages, "model": "scripted"})

    assert response.status_code == 200, response.text
    prompt = shared.engine.prompts[-1]
    assert prompt.question == "How long is the Rhine?"
    assert prompt.messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="And\nthe Elbe?"),
        Message(role="assistant", content="No."),
    )


async def test_sampling_reaches_the_engine(reader: httpx.AsyncClient, shared: World) -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 7, "stop": ["a", "b"], "seed": 3}

    await reader.post(PATH, json=asking(model="scripted", **sampling))

    taken = shared.engine.prompts[-1].sampling
    assert (taken.temperature, taken.top_p, taken.max_tokens, taken.stop, taken.seed) == (0.5, 0.9, 7, ("a", "b"), 3)


async def test_usage_is_the_engines(reader: httpx.AsyncClient) -> None:
    answer = (await reader.post(PATH, json=asking(model="scripted"))).json()

    assert answer["choices"][0]["message"]["content"] == "One two three"
    assert answer["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


@pytest.mark.parametrize("model", [None, "auto", "default", "penstock-extractive"])
async def test_without_a_model_the_router_decides(reader: httpx.AsyncClient, model: str | None) -> None:
    answer = (await reader.post(PATH, json=asking(model=model))).json()

    assert answer["model"] == "penstock-extractive"


async def test_an_unknown_model_is_named(reader: httpx.AsyncClient) -> None:
    response = await reader.post(PATH, json=asking(model="gpt-99"))

    assert response.status_code == 404
    assert response.json()["error"]["param"] == "model"
    assert "gpt-99" in response.json()["error"]["message"]


# --- where is looked ----------------------------------------------------------------


async def test_filters_and_the_number_of_passages_hold(reader: httpx.AsyncClient) -> None:
    tidal = {"type": "and", "filters": [{"type": "eq", "key": "tidal", "value": True}]}

    answer = (await reader.post(PATH, json=asking(filters=tidal))).json()
    one = (await reader.post(PATH, json=asking(max_num_results=1))).json()

    assert {passage["filename"] for passage in answer["penstock"]["passages"]} == {"rhine.md", "elbe.md"}
    assert len(one["penstock"]["passages"]) == 1


# --- streamed -----------------------------------------------------------------------


async def test_a_stream_begins_with_the_role_and_ends_with_what_is_known_at_the_end(reader: httpx.AsyncClient) -> None:
    response = await reader.post(PATH, json=asking(stream=True))

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = events_of(response.text)
    chunks = [chunk for _, chunk in events[:-1]]
    assert events[-1] == ("message", "[DONE]")
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert all("penstock" not in chunk for chunk in chunks[:-1])
    assert all("usage" not in chunk for chunk in chunks)


async def test_a_stream_and_a_whole_answer_say_the_same(reader: httpx.AsyncClient) -> None:
    whole = (await reader.post(PATH, json=asking())).json()
    events = events_of((await reader.post(PATH, json=asking(stream=True))).text)

    last = events[-2][1]
    assert text_of(events) == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["delta"]["annotations"] == whole["choices"][0]["message"]["annotations"]
    assert last["penstock"]["passages"] == whole["penstock"]["passages"]


async def test_usage_comes_last_where_it_is_asked_for(reader: httpx.AsyncClient) -> None:
    body = asking(stream=True, model="scripted", stream_options={"include_usage": True})

    events = events_of((await reader.post(PATH, json=body)).text)

    chunks = [chunk for _, chunk in events[:-1]]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 10


# --- how long it may take ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "field", "expected_s"),
    [(None, None, 30.0), ("5", None, 5.0), (None, 4.0, 4.0), ("5", 4.0, 4.0), ("2", 4.0, 2.0), ("1e9", None, 300.0)],
)
async def test_a_caller_says_how_long_within_the_servers_limit(
    reader: httpx.AsyncClient, shared: World, header: str | None, field: float | None, expected_s: float
) -> None:
    headers = {"x-request-timeout": header} if header else {}

    await reader.post(PATH, json=asking(model="scripted", timeout=field), headers=headers)

    remaining_s = shared.engine.contexts[-1].remaining_s()
    assert expected_s - 1 < remaining_s <= expected_s


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf"])
async def test_a_time_that_is_none_is_refused(reader: httpx.AsyncClient, value: str) -> None:
    response = await reader.post(PATH, json=asking(), headers={"x-request-timeout": value})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "X-Request-Timeout"
