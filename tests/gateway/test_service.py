from __future__ import annotations

import httpx
import pytest

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
