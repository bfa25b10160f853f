"""Our own description: valid OpenAPI, complete, and true of every answer."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import jsonschema_rs
import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31, OPENAPI_31_VALIDATOR

from tests.gateway.events import events_of
from tests.gateway.life import Life, operations_of
from tests.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def described(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


async def test_it_is_openapi(reader: httpx.AsyncClient) -> None:
    document = await described(reader)

    # The official schema of OpenAPI 3.1 documents, as schemathesis carries it.
    assert OPENAPI_31["$id"].startswith("https://spec.openapis.org/oas/3.1/schema")
    assert list(OPENAPI_31_VALIDATOR.iter_errors(document)) == []
    del document["info"]
    with pytest.raises(jsonschema_rs.ValidationError):
        OPENAPI_31_VALIDATOR.validate(document)


async def test_all_that_is_served_is_described_completely(reader: httpx.AsyncClient, shared: World) -> None:
    document = await described(reader)
    names = set()
    for operation in operations_of(shared.app):
        one = document["paths"][operation.described_path][operation.method.lower()]
        names.add(one["operationId"])
        assert one["summary"]
        assert one["tags"]
        places = {parameter["name"] for parameter in one["parameters"] if parameter["in"] == "path"}
        assert places == set(re.findall(r"{(\w+)}", operation.described_path))
        assert all("schema" in parameter for parameter in one["parameters"])
        assert one["responses"]["default"] == {"$ref": "#/components/responses/Error"}
        assert all("schema" in media for media in one["responses"]["200"]["content"].values())
        assert ("requestBody" in one) == (operation.body is not None or operation.form is not None)
        assert ("security" in one) == (operation.scope is None)
    served = sum(len(methods) for methods in document["paths"].values())
    assert served == len(names) == len(operations_of(shared.app))


async def test_references_lead_somewhere_and_nothing_is_described_for_nobody(reader: httpx.AsyncClient) -> None:
    document = await described(reader)
    schemas = document["components"]["schemas"]

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))) == set(schemas)


@pytest.mark.asyncio(loop_scope="function")
async def test_every_answer_and_event_is_as_described(client: httpx.AsyncClient) -> None:
    document = await described(client)

    def check(schema: dict[str, Any], value: Any) -> None:
        Draft202012Validator({**schema, "components": document["components"]}).validate(value)

    asked = set()
    async for step in Life(client).through():
        asked.add(step.path)
        content = document["paths"][step.path][step.method.lower()]["responses"]["200"]["content"]
        media = step.response.headers["content-type"].partition(";")[0]
        schema = content[media]["schema"]
        if step.streams:
            for _, event in events_of(step.response.text):
                if event != "[DONE]":
                    check(schema, event)
        elif media == "application/json":
            check(schema, step.response.json())
    assert set(document["paths"]) - asked == {"/engines/drain", "/engines/resume"}  # there is no engine to drain


@pytest.mark.asyncio(loop_scope="function")
async def test_not_ready_is_as_described(client: httpx.AsyncClient, world: World) -> None:
    document = await described(client)
    world.readiness.stopping()

    response = await client.get("/readyz")

    schema = document["paths"]["/readyz"]["get"]["responses"]["503"]["content"]["application/json"]["schema"]
    assert response.status_code == 503
    Draft202012Validator({**schema, "components": document["components"]}).validate(response.json())
