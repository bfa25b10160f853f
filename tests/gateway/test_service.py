from __future__ import annotations

import re

import httpx
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from penstock.gateway.readiness import Readiness
from tests.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_alive(reader: httpx.AsyncClient) -> None:
    response = await reader.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_ready_follows_the_process(reader: httpx.AsyncClient, shared: World) -> None:
    seen = []
    for state in ("starting", "ready", "stopping", "ready"):
        shared.readiness.state = state
        response = await reader.get("/readyz")
        seen.append((response.json()["status"], response.status_code))

    assert seen == [("starting", 503), ("ready", 200), ("stopping", 503), ("ready", 200)]


async def test_what_stops_does_not_become_ready_again() -> None:
    readiness = Readiness()
    readiness.stopping()

    readiness.ready()

    assert readiness.state == "stopping"


async def test_requests_are_counted_by_route_and_not_by_path(reader: httpx.AsyncClient) -> None:
    for name in ("rivers", "lakes", "seas"):
        await reader.get(f"/v1/vector_stores/{name}")
    await reader.get("/invented/by/a/caller")

    metrics = (await reader.get("/metrics")).text

    route = "/v1/vector_stores/{vector_store_id}"
    assert f'penstock_requests_total{{route="{route}",status="200"}} 1.0' in metrics
    assert f'penstock_requests_total{{route="{route}",status="404"}} 2.0' in metrics
    assert f'penstock_request_seconds_count{{route="{route}"}} 3.0' in metrics
    assert 'penstock_requests_total{route="unmatched",status="404"} 1.0' in metrics
    assert "invented" not in metrics
    assert "penstock_requests_in_flight 1.0" in metrics  # this one


async def test_models_are_the_routers(reader: httpx.AsyncClient) -> None:
    models = (await reader.get("/v1/models")).json()

    assert [model["id"] for model in models["data"]] == ["penstock-extractive", "scripted"]


# --- the description ------------------------------------------------------------------


async def test_the_description_names_every_route(reader: httpx.AsyncClient, shared: World) -> None:
    description = (await reader.get("/openapi.json")).json()

    described = {(method.upper(), path) for path, operations in description["paths"].items() for method in operations}
    page = {"/", "/ui/{name:path}", "/openapi.json"}
    served = {
        (method, route.path)
        for route in shared.app.routes
        if isinstance(route, Route) and route.path not in page
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == served


async def test_the_descriptions_schemas_are_schemas_and_their_references_lead_somewhere(
    reader: httpx.AsyncClient,
) -> None:
    response = await reader.get("/openapi.json")

    description = response.json()
    schemas = description["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"#/components/schemas/(\w+)"', response.text))
    assert references <= set(schemas)
    assert description["openapi"] == "3.1.0"


async def test_answers_fit_our_own_description(reader: httpx.AsyncClient) -> None:
    description = (await reader.get("/openapi.json")).json()

    def validator(name: str) -> Draft202012Validator:
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        return Draft202012Validator(schema)

    chat = {"messages": [{"role": "user", "content": "How long is the Rhine?"}], "filters": None}
    validator("ChatRequest").validate({**chat, "filters": {"type": "eq", "key": "tidal", "value": True}})
    validator("ChatCompletion").validate((await reader.post("/v1/chat/completions", json=chat)).json())
    search = {"query": "Rhine"}
    validator("SearchRequest").validate(search)
    validator("SearchPage").validate((await reader.post("/v1/vector_stores/rivers/search", json=search)).json())
    validator("VectorStoreList").validate((await reader.get("/v1/vector_stores")).json())
    validator("VectorStore").validate((await reader.get("/v1/vector_stores/rivers")).json())
    validator("ModelList").validate((await reader.get("/v1/models")).json())
    validator("ErrorResponse").validate((await reader.get("/nowhere")).json())
