"""Whatever is wrong with a request is said in OpenAI's shape, with the field's name."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
SEARCH = "/v1/vector_stores/rivers/search"
JSON = {"content-type": "application/json"}
USER = [{"role": "user", "content": "How long is the Rhine?"}]


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    return error


@pytest.mark.parametrize("path", [CHAT, SEARCH])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"query": NaN}',
        b'{"query": Infinity}',
        b'{"query": "\xff\xfe"}',
        b'{"query": "\\ud800"}',
        b'{"query": "a" "b"}',
        b'{"query": 1e999}',
        b"[" * 100_000,
        b'{"query": ' * 50_000,
        b"\x00",
    ],
)
async def test_what_is_not_json_is_refused(reader: httpx.AsyncClient, path: str, body: bytes) -> None:
    error = error_of(await reader.post(path, content=body, headers=JSON), 400)

    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_what_is_not_said_to_be_json_is_refused(reader: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}

    error = error_of(await reader.post(SEARCH, content=b'{"query": "x"}', headers=headers), 415)

    assert error["code"] == "unsupported_media_type"


async def test_json_with_a_character_set_is_json(reader: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}

    assert (await reader.post(SEARCH, content=b'{"query": "x"}', headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "hello"}, "messages", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_value"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "invalid_value"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages", "empty_question"),
        ({"messages": [{"role": "user", "content": "x" * 8001}]}, "messages", "question_too_long"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].image_url",
            "unsupported_parameter",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "refusal"}]}]},
            "messages[0].content[1].type",
            "unsupported_parameter",
        ),
        ({"messages": [{"role": "user", "content": "x", "weight": 1}]}, "messages[0].weight", "unsupported_parameter"),
        ({"messages": USER, "colour": "red"}, "colour", "unsupported_parameter"),
        ({"messages": USER, "n": 2}, "n", "unsupported_parameter"),
        ({"messages": USER, "store": True}, "store", "unsupported_parameter"),
        ({"messages": USER, "logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"messages": USER, "frequency_penalty": 0.5}, "frequency_penalty", "unsupported_parameter"),
        ({"messages": USER, "response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"messages": USER, "tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"messages": USER, "tool_choice": "required"}, "tool_choice", "unsupported_parameter"),
        ({"messages": USER, "modalities": ["audio"]}, "modalities", "unsupported_parameter"),
        ({"messages": USER, "logit_bias": {"1": 2}}, "logit_bias", "unsupported_parameter"),
        ({"messages": USER, "reasoning_effort": "high"}, "reasoning_effort", "unsupported_parameter"),
        ({"messages": USER, "stream_options": {"x": 1}}, "stream_options.x", "unsupported_parameter"),
        ({"messages": USER, "temperature": 3}, "temperature", "invalid_value"),
        ({"messages": USER, "max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"messages": USER, "stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"messages": USER, "stream": "yes"}, "stream", "invalid_value"),
        ({"messages": USER, "timeout": -1}, "timeout", "invalid_value"),
        ({"messages": USER, "vector_store_ids": [""]}, "vector_store_ids[0]", "invalid_value"),
        ({"messages": USER, "max_num_results": 51}, "max_num_results", "invalid_value"),
        ({"messages": USER, "filters": "x"}, "filters", "invalid_value"),
        ({"messages": USER, "filters": {"type": "like"}}, "filters.type", "invalid_value"),
    ],
)
async def test_a_wrong_field_of_a_chat_is_named(
    reader: httpx.AsyncClient, body: dict[str, Any], param: str, code: str
) -> None:
    error = error_of(await reader.post(CHAT, json=body), 404 if code == "not_found" else 400)

    assert (error["param"], error["code"]) == (param, code), error


async def test_what_asks_for_nothing_is_accepted(reader: httpx.AsyncClient) -> None:
    neutral = {
        "n": 1,
        "store": False,
        "logprobs": False,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "logit_bias": {},
        "tools": [],
        "tool_choice": "none",
        "user": "ada",
        "metadata": {"a": "b"},
        "parallel_tool_calls": True,
        "service_tier": "auto",
    }

    response = await reader.post(CHAT, json={"messages": USER, **neutral})

    assert response.status_code == 200, response.text
    assert response.json()["metadata"] == {"a": "b"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": 7}, "query"),
        ({"query": []}, "query"),
        ({"query": ["x"] * 17}, "query"),
        ({"query": ""}, "query"),
        ({"query": "\n\t "}, "query"),
        ({"query": "x" * 8001}, "query"),
        ({"query": "x", "max_num_results": 0}, "max_num_results"),
        ({"query": "x", "max_num_results": 51}, "max_num_results"),
        ({"query": "x", "max_num_results": 10**30}, "max_num_results"),
        ({"query": "x", "ranking_options": {"score_threshold": 1.5}}, "ranking_options.score_threshold"),
        ({"query": "x", "ranking_options": {"ranker": "mine"}}, "ranking_options.ranker"),
        ({"query": "x", "ranking_options": {"hybrid_search": {}}}, "ranking_options.hybrid_search"),
        ({"query": "x", "page": 2}, "page"),
        ({"query": "x", "filters": {"type": "eq", "key": "a"}}, "filters.value"),
    ],
)
async def test_a_wrong_field_of_a_search_is_named(reader: httpx.AsyncClient, body: dict[str, Any], param: str) -> None:
    assert error_of(await reader.post(SEARCH, json=body), 400)["param"] == param


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/models/", 404),
        ("GET", "/../etc/passwd", 404),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/vector_stores", 405),
        ("GET", CHAT, 405),
        ("OPTIONS", CHAT, 405),
    ],
)
async def test_unknown_paths_and_methods_are_json(
    reader: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await reader.request(method, path)

    error_of(response, status)
    assert ("allow" in response.headers) == (status == 405)


async def test_a_query_string_that_nobody_reads_is_refused(reader: httpx.AsyncClient) -> None:
    error = error_of(await reader.post(f"{SEARCH}?debug=1", json={"query": "x"}), 400)
    twice = error_of(await reader.get("/v1/vector_stores?limit=1&limit=2"), 400)

    assert (error["code"], error["param"]) == ("unsupported_parameter", "debug")
    assert twice["param"] == "limit"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/vector_stores", "GET, HEAD, POST"),
        ("/v1/vector_stores/rivers", "DELETE, GET, HEAD, POST"),
        (SEARCH, "POST"),
    ],
)
async def test_allow_names_every_method_of_a_path(reader: httpx.AsyncClient, path: str, methods: str) -> None:
    response = await reader.options(path)

    error_of(response, 405)
    assert response.headers["allow"] == methods
