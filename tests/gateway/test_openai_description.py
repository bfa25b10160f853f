"""Every answer and every streamed event fits OpenAI's description; an operation nobody checks here fails the test."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest

from penstock.core.errors import StageUnavailable
from penstock.gateway.wire.response_events import ResponseEvent
from tests.gateway import description
from tests.gateway.conftest import client_of
from tests.gateway.events import events_of
from tests.gateway.life import CHAT, Life, operations_of
from tests.gateway.world import Scripted, World

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not description.FILE.exists(), reason=f"{description.FILE} is not here (set PENSTOCK_DATA)"),
]

UNDESCRIBED = {("GET", "/files/{file_id}/content"), ("DELETE", "/responses/{response_id}")}
"""OpenAI describes that these are there, and not what they answer."""
BROKEN = {"response.failed", "response.incomplete"}
"""Events of answers that break off or end early, which need an engine that does."""


def as_numbers(answer: dict[str, Any]) -> dict[str, Any]:
    """OpenAI describes embeddings as numbers only, and sends them in base64 to its own SDK."""
    for item in answer.get("data", ()):
        if isinstance(item, dict) and isinstance(item.get("embedding"), str):
            item["embedding"] = np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4").tolist()
    return answer


@pytest.mark.asyncio(loop_scope="function")
async def test_every_answer_and_event_of_every_operation(client: httpx.AsyncClient, world: World) -> None:
    offered = {
        (operation.method, operation.described_path.removeprefix("/v1"))
        for operation in operations_of(world.app)
        if operation.path.startswith("/v1/")
    }
    checked: set[tuple[str, str]] = set()
    events: set[str] = set()

    async for step in Life(client).through():
        name = (step.method, step.path.removeprefix("/v1"))
        checked.add(name)
        if name in UNDESCRIBED or name not in description.operations():
            continue
        if step.streams:
            schema = description.answer_schema(*name, "text/event-stream")
            for kind, event in events_of(step.response.text):
                events.add(kind)
                if event != "[DONE]":
                    description.validate(schema, event)
        else:
            description.validate(description.answer_schema(*name), as_numbers(step.response.json()))

    assert offered - checked == set(), "ask for these in tests/gateway/life.py"
    assert offered - description.operations() == {("POST", "/rerank")}  # Cohere's
    ours = {str(kind.__struct_config__.tag) for kind in ResponseEvent.__args__}
    assert events == ours - BROKEN | {"message"}


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(
    ("engine", "last"),
    [
        ({"fails": StageUnavailable("generate", "it broke.")}, "response.failed"),
        ({"fails": ValueError("a bug of ours")}, "response.failed"),
        ({"ends": False}, "response.failed"),
        ({"finish": "length"}, "response.incomplete"),
        ({"finish": "content_filter"}, "response.incomplete"),
    ],
)
async def test_events_of_answers_that_end_badly(
    make_world: Callable[..., Awaitable[World]], engine: dict[str, Any], last: str
) -> None:
    world = await make_world(engine=Scripted(**engine))
    async with client_of(world) as client:
        body = {"input": "x", "model": "scripted", "stream": True}
        events = events_of((await client.post("/v1/responses", json=body)).text)

    assert events[-1][0] == last
    schema = description.answer_schema("POST", "/responses", "text/event-stream")
    for _, event in events:
        description.validate(schema, event)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/chat/completions", {}),
        ("POST", "/v1/chat/completions", {**CHAT, "n": 2}),
        ("POST", "/v1/chat/completions", {**CHAT, "model": "none"}),
        ("POST", "/v1/responses", {"input": "x", "background": True}),
        ("GET", "/v1/responses/none", None),
        ("GET", "/v1/vector_stores/none", None),
        ("POST", "/v1/uploads/none/cancel", None),
        ("GET", "/v1/models/none/at/all", None),
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
