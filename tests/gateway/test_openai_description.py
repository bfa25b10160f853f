"""Every answer that OpenAI describes fits OpenAI's description; an operation nobody checks here fails a test."""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.routing import Route

from tests.gateway import description
from tests.gateway.events import events_of
from tests.gateway.test_files_in_stores import DRIVEN
from tests.gateway.world import World

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not description.FILE.exists(), reason=f"{description.FILE} is not here (set PENSTOCK_DATA)"),
]

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "How long is the Rhine?"}]}
CHECKED = {
    ("POST", "/chat/completions"),
    ("GET", "/vector_stores"),
    ("GET", "/vector_stores/{vector_store_id}"),
    ("POST", "/vector_stores/{vector_store_id}/search"),
    ("GET", "/models"),
    ("POST", "/embeddings"),
}


async def test_every_operation_that_we_share_with_openai_is_checked(shared: World) -> None:
    ours = {
        (method, route.path.removeprefix("/v1"))
        for route in shared.app.routes
        if isinstance(route, Route) and route.path.startswith("/v1/")
        for method in (route.methods or set()) - {"HEAD"}
    }

    driven = {(method, path) for method, path, _ in DRIVEN}  # and checked there
    bytes_and_forms = {("POST", "/files"), ("GET", "/files/{file_id}/content")}
    assert ours & description.operations() == CHECKED | driven | bytes_and_forms
    assert ours - description.operations() == {("POST", "/rerank")}  # Cohere's


@pytest.mark.parametrize("more", [{}, {"model": "scripted"}, {"metadata": {"a": "b"}}, {"max_num_results": 1}])
async def test_a_whole_answer(reader: httpx.AsyncClient, more: dict[str, Any]) -> None:
    answer = (await reader.post("/v1/chat/completions", json={**ASK, **more})).json()

    description.validate(description.answer_schema("POST", "/chat/completions"), answer)


@pytest.mark.parametrize("model", ["penstock-extractive", "scripted"])
@pytest.mark.parametrize("options", [None, {"include_usage": True}])
async def test_every_chunk(reader: httpx.AsyncClient, model: str, options: dict[str, Any] | None) -> None:
    body = {**ASK, "stream": True, "model": model, "stream_options": options}
    events = events_of((await reader.post("/v1/chat/completions", json=body)).text)

    schema = description.answer_schema("POST", "/chat/completions", "text/event-stream")
    assert len(events) > 3
    for _, chunk in events[:-1]:
        description.validate(schema, chunk)


async def test_an_answer_that_abstains(reader: httpx.AsyncClient) -> None:
    body = {"messages": [{"role": "user", "content": "Who painted the ceiling of a chapel?"}]}
    answer = (await reader.post("/v1/chat/completions", json=body)).json()

    assert answer["penstock"]["abstained"]
    description.validate(description.answer_schema("POST", "/chat/completions"), answer)


async def test_stores(reader: httpx.AsyncClient) -> None:
    page = (await reader.get("/v1/vector_stores")).json()
    store = (await reader.get(f"/v1/vector_stores/{page['data'][0]['id']}")).json()

    description.validate(description.answer_schema("GET", "/vector_stores"), page)
    description.validate(description.answer_schema("GET", "/vector_stores/{vector_store_id}"), store)


@pytest.mark.parametrize(
    "body", [{"query": "Rhine"}, {"query": ["Rhine", "Elbe"]}, {"query": "x", "max_num_results": 1}]
)
async def test_search(reader: httpx.AsyncClient, body: dict[str, Any]) -> None:
    page = (await reader.post("/v1/vector_stores/rivers/search", json=body)).json()

    assert page["data"]
    description.validate(description.answer_schema("POST", "/vector_stores/{vector_store_id}/search"), page)


async def test_models(reader: httpx.AsyncClient) -> None:
    description.validate(description.answer_schema("GET", "/models"), (await reader.get("/v1/models")).json())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/chat/completions", {}),
        ("POST", "/v1/chat/completions", {**ASK, "n": 2}),
        ("POST", "/v1/chat/completions", {**ASK, "model": "none"}),
        ("GET", "/v1/vector_stores/none", None),
        ("GET", "/v1/none", None),
        ("DELETE", "/v1/models", None),
    ],
)
async def test_errors(reader: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None) -> None:
    response = await reader.request(method, path, json=body)

    assert response.status_code >= 400
    description.validate(description.ERROR, response.json())


async def test_the_check_itself_notices(reader: httpx.AsyncClient) -> None:
    answer = (await reader.post("/v1/vector_stores/rivers/search", json={"query": "Rhine"})).json()
    answer["data"][0]["chunk_id"] = "x"

    with pytest.raises(jsonschema.ValidationError, match=re.escape("'chunk_id' was unexpected")):
        description.validate(description.answer_schema("POST", "/vector_stores/{vector_store_id}/search"), answer)
