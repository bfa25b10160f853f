from __future__ import annotations

import httpx
import pytest

from penstock.core.errors import Forbidden
from penstock.gateway.auth import Loopback, is_loopback, require_loopback

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = ["/", "/v1/models", "/v1/vector_stores", "/metrics", "/healthz", "/openapi.json"]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "localhost:9", "[::1]:8000", "127.9.9.9"])
async def test_loopback_names_are_served(reader: httpx.AsyncClient, host: str) -> None:
    assert (await reader.get("/v1/models", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0",
        "10.0.0.1",
        "[::",
    ],
)
async def test_a_name_that_was_rebound_to_us_is_refused(reader: httpx.AsyncClient, path: str, host: str) -> None:
    response = await reader.get(path, headers={"host": host})

    assert response.status_code == 403
    assert response.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8000.evil.example", "http://"]
)
async def test_pages_from_elsewhere_are_refused(reader: httpx.AsyncClient, origin: str) -> None:
    headers = {"host": "127.0.0.1:8000", "origin": origin}

    response = await reader.post("/v1/vector_stores/rivers/search", json={"query": "Rhine"}, headers=headers)

    assert response.status_code == 403


async def test_our_own_page_is_served(reader: httpx.AsyncClient) -> None:
    headers = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}

    response = await reader.post("/v1/vector_stores/rivers/search", json={"query": "Rhine"}, headers=headers)

    assert response.status_code == 200


async def test_a_key_that_nobody_asked_for_does_not_matter(reader: httpx.AsyncClient) -> None:
    response = await reader.get("/v1/models", headers={"authorization": "Bearer sk-whatever"})

    assert response.status_code == 200


async def test_a_request_without_a_host_is_refused() -> None:
    with pytest.raises(Forbidden):
        Loopback().authenticate({"type": "http", "headers": []})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
async def test_the_loopback_may_be_bound_without_keys(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "localhost.example.org"])
async def test_nothing_else_may_be_bound_without_keys(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(Forbidden, match="Without API keys"):
        require_loopback(host)
