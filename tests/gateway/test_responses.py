"""`/v1/responses`: whole and streamed answers, what they are made of, and what is refused by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from penstock.core.errors import RateLimited, StageUnavailable
from tests.gateway.conftest import client_of
from tests.gateway.events import events_of
from tests.gateway.world import Scripted, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/responses"
RHINE = "How long is the Rhine?"
SEARCH = {"type": "file_search", "vector_store_ids": ["rivers"]}


async def ask(client: httpx.AsyncClient, question: Any = RHINE, **more: Any) -> dict[str, Any]:
    response = await client.post(PATH, json={"input": question, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def text_of(response: dict[str, Any]) -> str:
    text: str = response["output"][-1]["content"][0]["text"]
    return text


async def test_a_whole_answer_with_its_search_and_its_citations(reader: httpx.AsyncClient, shared: World) -> None:
    answer = await ask(reader, tools=[SEARCH], metadata={"a": "b"}, temperature=0.5, instructions="Be brief.")

    search, message = answer["output"]
    assert (answer["status"], answer["error"], answer["incomplete_details"]) == ("completed", None, None)
    assert (search["type"], search["queries"], search["results"]) == ("file_search_call", [RHINE], None)
    assert "1,233" in text_of(answer)
    citation = message["content"][0]["annotations"][0]
    assert (citation["type"], citation["filename"]) == ("file_citation", "rhine.md")
    assert text_of(answer)[citation["index"] :].startswith("[1]")
    assert answer["tools"][0]["vector_store_ids"] == [shared.rivers]
    assert (answer["metadata"], answer["temperature"], answer["instructions"]) == ({"a": "b"}, 0.5, "Be brief.")
    assert answer["penstock"]["abstained"] is False


async def test_results_are_shown_on_request_and_only_then(reader: httpx.AsyncClient) -> None:
    include = ["file_search_call.results"]
    answer = await ask(reader, tools=[{**SEARCH, "max_num_results": 2}], include=include)
    path = f"{PATH}/{answer['id']}"

    results = answer["output"][0]["results"]
    assert results[0]["filename"] == "rhine.md"
    assert len(results) == 2
    assert (await reader.get(path)).json()["output"][0]["results"] is None
    for query in ({"include": include}, {"include[]": include}, [("include", "reasoning.encrypted_content")] * 2):
        shown = (await reader.get(path, params=query)).json()
        assert shown["output"][0]["results"] == (results if isinstance(query, dict) else None)
    assert (await reader.get(path, params={"include[]": include})).json() == answer


async def test_a_stream_says_the_same_in_order(reader: httpx.AsyncClient) -> None:
    whole = await ask(reader, tools=[SEARCH])
    events = events_of((await reader.post(PATH, json={"input": RHINE, "tools": [SEARCH], "stream": True})).text)

    names = [name for name, _ in events]
    assert names == [event["type"] for _, event in events]
    assert [event["sequence_number"] for _, event in events] == list(range(len(events)))
    assert names[:9] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert names[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert "".join(event["delta"] for name, event in events if name.endswith(".delta")) == text_of(whole)
    added = [event["annotation"] for name, event in events if name.endswith("annotation.added")]
    last = events[-1][1]["response"]
    assert added == last["output"][1]["content"][0]["annotations"] == whole["output"][1]["content"][0]["annotations"]
    assert (await reader.get(f"{PATH}/{last['id']}")).json() == last


@pytest.mark.parametrize(
    ("more", "searches"),
    [
        ({}, True),
        ({"tools": []}, False),
        ({"tools": [SEARCH], "tool_choice": "none"}, False),
        ({"tool_choice": "none"}, False),
        ({"tools": [SEARCH], "tool_choice": "required"}, True),
        ({"tools": [SEARCH], "tool_choice": {"type": "file_search"}}, True),
        (
            {
                "tools": [SEARCH],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]},
            },
            True,
        ),
    ],
)
async def test_whether_to_search_is_the_callers_choice(
    reader: httpx.AsyncClient, more: dict[str, Any], searches: object
) -> None:
    answer = await ask(reader, model="scripted", **more)

    assert len(answer["output"]) == (2 if searches else 1)
    assert bool(answer["tools"]) == searches
    assert text_of(answer) == "One two three"


async def test_filters_and_thresholds_decide_what_it_rests_on(reader: httpx.AsyncClient) -> None:
    include = ["file_search_call.results"]
    germany = {"type": "eq", "key": "country", "value": "Germany"}
    filtered = await ask(reader, tools=[{**SEARCH, "filters": germany}], include=include)
    everything = await ask(reader, tools=[{**SEARCH, "ranking_options": {"score_threshold": 0.0}}], include=include)
    few = await ask(reader, tools=[{**SEARCH, "ranking_options": {"score_threshold": 0.5}}], include=include)
    none = await ask(reader, tools=[{**SEARCH, "ranking_options": {"score_threshold": 1.0}}], include=include)

    assert {result["filename"] for result in filtered["output"][0]["results"]} == {"danube.md"}
    assert filtered["tools"][0]["filters"] == germany
    assert len(everything["output"][0]["results"]) == 3
    assert [result["filename"] for result in few["output"][0]["results"]] == ["rhine.md"]
    assert none["output"][0]["results"] == []
    assert none["penstock"]["abstained"] is True


async def test_a_conversation_goes_on(reader: httpx.AsyncClient, shared: World) -> None:
    first = await ask(reader, model="scripted", instructions="Only once.")
    second = await ask(reader, "And then?", model="scripted", previous_response_id=first["id"])
    await ask(reader, "And the end?", model="scripted", previous_response_id=second["id"], instructions="Now this.")

    said = [(turn.role, turn.content) for turn in shared.engine.prompts[-1].messages]
    assert said == [
        ("system", "Now this."),
        ("user", RHINE),
        ("assistant", "One two three"),
        ("user", "And then?"),
        ("assistant", "One two three"),
    ]
    assert shared.engine.prompts[-1].question == "And the end?"


async def test_what_came_out_can_be_sent_back_as_it_came(reader: httpx.AsyncClient, shared: World) -> None:
    first = await ask(reader, tools=[SEARCH], include=["file_search_call.results"])
    question = {"role": "user", "content": [{"type": "input_text", "text": "And the Elbe?"}]}
    answer = await ask(
        reader, [{"role": "user", "content": RHINE}, *first["output"], question], model="scripted", store=True
    )

    said = [(turn.role, turn.content) for turn in shared.engine.prompts[-1].messages]
    assert said == [("user", RHINE), ("assistant", text_of(first))]
    items = (await reader.get(f"{PATH}/{answer['id']}/input_items", params={"order": "asc"})).json()["data"]
    assert [item["type"] for item in items] == ["message", "file_search_call", "message", "message"]
    assert items[1]["results"] is None
    assert items[2]["id"] == first["output"][1]["id"]


async def test_input_items_come_page_by_page(reader: httpx.AsyncClient) -> None:
    turns = [{"role": role, "content": str(n)} for n, role in enumerate(["user", "assistant", "developer", "user"])]
    path = f"{PATH}/{(await ask(reader, turns))['id']}/input_items"

    first = (await reader.get(path, params={"limit": 3, "order": "asc"})).json()
    rest = (await reader.get(path, params={"limit": 3, "order": "asc", "after": first["last_id"]})).json()
    newest = (await reader.get(path, params={"limit": 1})).json()

    assert [item["content"][0]["text"] for item in first["data"] + rest["data"]] == ["0", "1", "2", "3"]
    assert (first["has_more"], rest["has_more"], newest["has_more"]) == (True, False, True)
    assert newest["data"] == rest["data"]
    assert (await reader.get(path, params={"after": "msg_none"})).status_code == 400


async def test_what_is_not_to_be_kept_is_not(reader: httpx.AsyncClient) -> None:
    answer = await ask(reader, store=False)

    assert answer["store"] is False
    assert (await reader.get(f"{PATH}/{answer['id']}")).status_code == 404
    refused = await reader.post(PATH, json={"input": "And?", "previous_response_id": answer["id"]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "previous_response_id")


async def test_a_deleted_answer_is_gone(reader: httpx.AsyncClient) -> None:
    path = f"{PATH}/{(await ask(reader))['id']}"

    assert (await reader.delete(path)).json()["deleted"] is True
    for response in (await reader.get(path), await reader.delete(path), await reader.get(f"{path}/input_items")):
        assert response.status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "missing_required_parameter", "input"),
        ({"input": ""}, 400, "empty_question", "input"),
        ({"input": "x" * 8_001}, 400, "question_too_long", "input"),
        ({"input": []}, 400, "invalid_value", "input"),
        ({"input": [1]}, 400, "invalid_value", "input[0]"),
        ({"input": [{"role": "assistant", "content": "x"}]}, 400, "invalid_value", "input[0].role"),
        ({"input": [{"role": "tool", "content": "x"}]}, 400, "invalid_value", "input[0].role"),
        ({"input": [{"role": "user"}]}, 400, "missing_required_parameter", "input[0].content"),
        ({"input": [{"role": "user", "content": "x", "colour": 1}]}, 400, "unsupported_parameter", "input[0].colour"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, 400, "unsupported_parameter", "input[0].type"),
        ({"input": [{"type": 5}]}, 400, "unsupported_parameter", "input[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            400,
            "unsupported_parameter",
            "input[0].content[0].type",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
            400,
            "invalid_value",
            "input[0].content[0].type",
        ),
        ({"input": "x", "model": "none"}, 404, "not_found", "model"),
        ({"input": "x", "background": True}, 400, "unsupported_parameter", "background"),
        ({"input": "x", "conversation": "conv_1"}, 400, "unsupported_parameter", "conversation"),
        ({"input": "x", "prompt": {"id": "p"}}, 400, "unsupported_parameter", "prompt"),
        ({"input": "x", "truncation": "disabled"}, 400, "unsupported_parameter", "truncation"),
        ({"input": "x", "reasoning": {"effort": "high"}}, 400, "unsupported_parameter", "reasoning"),
        ({"input": "x", "text": {"format": {"type": "json_object"}}}, 400, "unsupported_parameter", "text"),
        ({"input": "x", "top_logprobs": 3}, 400, "unsupported_parameter", "top_logprobs"),
        ({"input": "x", "include": ["message.output_text.logprobs"]}, 400, "unsupported_parameter", "include[0]"),
        ({"input": "x", "include": ["everything"]}, 400, "invalid_value", "include[0]"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, 400, "unsupported_parameter", "tools[0].type"),
        ({"input": "x", "tools": [{"type": "file_search"}]}, 400, "missing_required_parameter", None),
        (
            {"input": "x", "tools": [{**SEARCH, "ranking_options": {"hybrid_search": {"text_weight": 1}}}]},
            400,
            "unsupported_parameter",
            "tools[0].ranking_options.hybrid_search",
        ),
        ({"input": "x", "tools": [{**SEARCH, "max_num_results": 51}]}, 400, None, "tools[0].max_num_results"),
        ({"input": "x", "tools": [{**SEARCH, "filters": {"type": "x"}}]}, 400, None, "tools[0].filters.type"),
        (
            {"input": "x", "tools": [{**SEARCH, "vector_store_ids": ["none"]}]},
            404,
            "not_found",
            "tools[0].vector_store_ids[0]",
        ),
        ({"input": "x", "tools": [], "tool_choice": "required"}, 400, "invalid_value", "tool_choice"),
        ({"input": "x", "tool_choice": {"type": "function", "name": "f"}}, 400, None, "tool_choice.type"),
        ({"input": "x", "tool_choice": "sometimes"}, 400, "invalid_value", "tool_choice"),
        ({"input": "x", "previous_response_id": "resp_none"}, 404, "not_found", "previous_response_id"),
        ({"input": "x", "max_output_tokens": 0}, 400, "invalid_value", "max_output_tokens"),
        ({"input": "x", "metadata": {"k": "v" * 513}}, 400, "invalid_value", "metadata[...]"),
        ({"input": "x", "seed": 1}, 400, "unsupported_parameter", "seed"),
    ],
)
async def test_what_is_wrong_or_not_offered_is_named(
    reader: httpx.AsyncClient, body: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    response = await reader.post(PATH, json=body)

    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert code in (None, error["code"])
    assert param in (None, error["param"])


@pytest.mark.parametrize(("name", "value"), [("stream", "true"), ("starting_after", "1"), ("colour", "red")])
async def test_a_query_that_is_not_offered_is_named(reader: httpx.AsyncClient, name: str, value: str) -> None:
    refused = await reader.get(f"{PATH}/resp_x", params={name: value})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)


# --- answers that break off or end early ------------------------------------------------


MakeWorld = Callable[..., Awaitable[World]]


@pytest.mark.asyncio(loop_scope="function")
async def test_an_answer_that_breaks_is_failed_and_not_kept(make_world: MakeWorld) -> None:
    world = await make_world(engine=Scripted(fails=StageUnavailable("generate", "it broke.")))
    async with client_of(world) as client:
        events = events_of((await client.post(PATH, json={"input": "x", "model": "scripted", "stream": True})).text)
        whole = await client.post(PATH, json={"input": "x", "model": "scripted"})
        kept = await client.get(f"{PATH}/{events[0][1]['response']['id']}")

    name, last = events[-1]
    assert (name, last["sequence_number"]) == ("response.failed", len(events) - 1)
    assert (last["response"]["status"], last["response"]["error"]["code"]) == ("failed", "server_error")
    assert "it broke" in last["response"]["error"]["message"]
    assert whole.status_code == 503
    assert kept.status_code == 404


@pytest.mark.asyncio(loop_scope="function")
async def test_an_error_before_the_first_word_has_its_own_status(make_world: MakeWorld) -> None:
    world = await make_world(engine=Scripted(words=(), fails=RateLimited("Too much.", retry_after_s=2)))
    async with client_of(world) as client:
        response = await client.post(PATH, json={"input": "x", "model": "scripted", "stream": True})

    assert (response.status_code, response.headers["retry-after"]) == (429, "2")


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_ends_early_is_incomplete_and_kept(
    make_world: MakeWorld, finish: str, reason: str
) -> None:
    world = await make_world(engine=Scripted(finish=finish))
    async with client_of(world) as client:
        body = {"input": "x", "model": "scripted", "max_output_tokens": 16}
        whole = (await client.post(PATH, json=body)).json()
        events = events_of((await client.post(PATH, json={**body, "stream": True})).text)
        kept = (await client.get(f"{PATH}/{whole['id']}")).json()

    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert whole["output"][-1]["status"] == "incomplete"
    assert kept == whole
    assert events[-1][0] == "response.incomplete"
    assert world.engine.prompts[-1].sampling.max_tokens == 16


@pytest.mark.asyncio(loop_scope="function")
async def test_a_server_that_keeps_nothing_says_so(make_world: MakeWorld) -> None:
    world = await make_world(keep_responses_days=0)
    async with client_of(world) as client:
        answer = await ask(client)
        refused = await client.post(PATH, json={"input": "x", "store": True})
        kept = await client.get(f"{PATH}/{answer['id']}")

    assert answer["store"] is False
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "store")
    assert kept.status_code == 404
