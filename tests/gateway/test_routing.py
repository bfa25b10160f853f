"""Every path goes where Starlette's own router would send it."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from penstock.gateway.routing import REMEMBERED, Table

PATHS = (
    "/healthz",
    "/v1/stores",
    "/v1/stores/{store}",
    "/v1/stores/{store}/search",
    "/v1/stores/{store}/files/{file}",
    "/v1/models/{model:path}",
)
ASKED = (
    *PATHS,
    "/",
    "/v1/stores/a",
    "/v1/models/a",
    "/v1/models/a/b",
    "/v1/stores/a/search",
    "/v1/stores/a/files/b",
    "/v1/stores/a/files/",
    "/v1/stores//search",
    "/v1/stores/",
    "/v1//stores",
    "/v1/stores/a b%/search",
    "//healthz",
    "/healthz/",
)


class Marks:
    """An endpoint that notes where the request came out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["seen"].append((scope["path_params"], type(self).__name__))


async def outcome(app: Table | Router, method: str, path: str) -> object:
    seen: list[object] = []
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": [], "seen": seen, "app": app}

    async def nothing(*_: object) -> dict[str, str]:
        return {"type": "http.disconnect"}

    try:
        await app(scope, nothing, nothing)
    except HTTPException as error:
        return error.status_code, set((error.headers or {}).get("Allow", "").split(", "))  # in any order
    return seen


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
async def test_as_the_router_would(method: str, path: str) -> None:
    routes = [
        Route(each, Marks(), methods=["POST"] if each.endswith("search") else ["GET", "POST"], name=each)
        for each in PATHS
    ]
    router = Router(routes=routes, redirect_slashes=False)
    assert await outcome(Table(router=router), method, path) == await outcome(router, method, path)


async def test_a_path_that_was_found_before_leads_there_with_parameters_of_its_own() -> None:
    router = Router(routes=[Route("/v1/stores/{store}", Marks(), methods=["GET"])])
    table = Table(router=router)
    first = await outcome(table, "GET", "/v1/stores/a")
    assert isinstance(first, list)
    assert first == [({"store": "a"}, "Marks")]
    first[0][0]["store"] = "changed by a route"

    assert await outcome(table, "GET", "/v1/stores/a") == [({"store": "a"}, "Marks")]


async def test_paths_that_are_remembered_are_bounded_and_all_are_found() -> None:
    table = Table(router=Router(routes=[Route("/v1/stores/{store}", Marks(), methods=["GET"])]))

    for number in range(2 * REMEMBERED + 10):
        assert await outcome(table, "GET", f"/v1/stores/{number}") == [({"store": str(number)}, "Marks")]

    assert 0 < table.remembered <= REMEMBERED


async def test_a_very_long_path_is_found_and_not_remembered() -> None:
    table = Table(router=Router(routes=[Route("/v1/stores/{store}", Marks(), methods=["GET"])]))

    assert await outcome(table, "GET", "/v1/stores/" + 5000 * "a") == [({"store": 5000 * "a"}, "Marks")]

    assert table.remembered == 0
