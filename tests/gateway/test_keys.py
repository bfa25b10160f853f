"""With keys: who gets in, to what, and for how long; every route for every kind of caller."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from penstock.catalog.keys import Keys, Scope, hash_of
from penstock.core.errors import Unauthenticated
from penstock.gateway.endpoint import Endpoint
from penstock.gateway.keys import KeyAuthenticator
from tests.gateway.world import World

SECRET = b"s" * 32
MakeWorld = Callable[..., Awaitable[World]]


class Guarded:
    """A world whose gateway asks for keys, and keys to it."""

    def __init__(self, world: World, keys: Keys, authenticator: KeyAuthenticator) -> None:
        self.world = world
        self.keys = keys
        self.authenticator = authenticator

    async def key(self, *scopes: Scope, **what: Any) -> str:
        key, token = await self.keys.create(secret=SECRET, scopes=scopes or ("read", "write", "admin"), **what)
        self.last = key
        await self.authenticator.refresh()
        return token

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app=self.world.app)
        # Not a loopback name: keys are what decides.
        return httpx.AsyncClient(transport=transport, base_url="https://penstock.example", headers=headers)


class Lazy:
    """The catalog of keys, once there is one."""

    keys: Keys

    async def every(self) -> Any:
        return await self.keys.every()


@pytest.fixture
async def guarded(make_world: MakeWorld) -> Guarded:
    lazy = Lazy()
    authenticator = KeyAuthenticator(keys=lazy, hash_of=partial(hash_of, secret=SECRET))
    world = await make_world(authenticator=authenticator)
    lazy.keys = Keys(database=world._database)
    await authenticator.refresh()
    return Guarded(world, lazy.keys, authenticator)


async def test_without_any_key_it_is_the_loopback_as_before(guarded: Guarded) -> None:
    async with guarded.client() as client:
        assert (await client.get("/v1/models")).status_code == 403
        assert (await client.get("/v1/models", headers={"host": "127.0.0.1"})).status_code == 200


async def test_every_route_wants_a_key_with_its_scope(guarded: Guarded) -> None:
    reader = await guarded.key("read")
    expired = await guarded.key(expires_s=time.time() - 1)
    revoked = await guarded.key()
    await guarded.keys.revoke(guarded.last.id)
    await guarded.authenticator.refresh()
    nobody = [None, "psk_" + "x" * 32, expired, revoked, "", reader[:-1], reader + "x"]
    open_to_all, seen = {"/healthz", "/readyz", "/openapi.json"}, 0

    async with guarded.client() as client:
        for route in guarded.world.app.routes:
            assert isinstance(route, Route)
            endpoint = route.endpoint
            assert isinstance(endpoint, Endpoint)
            operation = endpoint.operation
            path = re.sub(r"{vector_store_id}", "rivers", route.path)
            path = re.sub(r"{\w+}", "x", path)
            if operation.scope is None:
                assert path in open_to_all or not operation.described
                continue
            for token in nobody:
                headers = {} if token is None else {"authorization": f"Bearer {token}"}
                response = await client.request(operation.method, path, headers=headers)
                assert response.status_code == 401, (path, token)
                assert response.json()["error"]["code"] == "invalid_api_key"
                seen += 1
            response = await client.request(operation.method, path, headers={"authorization": f"Bearer {reader}"})
            assert (response.status_code == 403) == (operation.scope != "read"), path
    assert seen > 100


async def test_a_tenant_sees_only_its_own(guarded: Guarded) -> None:
    mine, theirs = await guarded.key(tenant="a"), await guarded.key(tenant="b")
    async with guarded.client(mine) as owner, guarded.client(theirs) as other:
        store = (await owner.post("/v1/vector_stores", json={"name": "secret"})).json()
        file = (
            await owner.post("/v1/files", data={"purpose": "assistants"}, files={"file": ("a.txt", b"Secret.")})
        ).json()
        path = f"/v1/vector_stores/{store['id']}"
        assert (await owner.post(f"{path}/files", json={"file_id": file["id"]})).status_code == 200
        batch = (await owner.post(f"{path}/file_batches", json={"file_ids": [file["id"]]})).json()
        own = (await other.post("/v1/vector_stores", json={"name": "own"})).json()

        for method, probe, body in [
            ("GET", path, None),
            ("POST", path, {"name": "x"}),
            ("DELETE", path, None),
            ("POST", f"{path}/search", {"query": "secret"}),
            ("GET", f"{path}/files", None),
            ("POST", f"{path}/files", {"file_id": file["id"]}),
            ("GET", f"{path}/files/{file['id']}", None),
            ("GET", f"{path}/files/{file['id']}/content", None),
            ("POST", f"{path}/files/{file['id']}", {"attributes": {}}),
            ("DELETE", f"{path}/files/{file['id']}", None),
            ("GET", f"{path}/file_batches/{batch['id']}", None),
            ("GET", f"{path}/file_batches/{batch['id']}/files", None),
            ("POST", f"{path}/file_batches/{batch['id']}/cancel", None),
            ("GET", f"/v1/vector_stores/{own['id']}/file_batches/{batch['id']}", None),
            ("POST", f"/v1/vector_stores/{own['id']}/files", {"file_id": file["id"]}),
            ("POST", f"/v1/vector_stores/{own['id']}/file_batches", {"file_ids": [file["id"]]}),
            ("POST", "/v1/vector_stores", {"file_ids": [file["id"]]}),
            ("GET", f"/v1/files/{file['id']}", None),
            ("GET", f"/v1/files/{file['id']}/content", None),
            ("DELETE", f"/v1/files/{file['id']}", None),
            ("GET", "/v1/vector_stores/secret", None),
        ]:
            response = await other.request(method, probe, json=body)
            assert response.status_code == 404, (method, probe, response.text)
            assert "Secret" not in response.text
        assert (await other.get("/v1/files")).json()["data"] == []
        assert [each["name"] for each in (await other.get("/v1/vector_stores")).json()["data"]] == ["own"]
        assert (await owner.get(path)).status_code == 200


async def test_groups_decide_who_finds_and_reads_a_file(guarded: Guarded) -> None:
    board, staff = await guarded.key(groups=("board",)), await guarded.key(groups=("staff",))
    async with guarded.client(board) as insider, guarded.client(staff) as outsider:
        store = (await insider.post("/v1/vector_stores", json={"name": "minutes"})).json()
        upload = await insider.post("/v1/files", data={"purpose": "assistants"}, files={"file": ("a.txt", b"Minutes.")})
        file = upload.json()["id"]
        path = f"/v1/vector_stores/{store['id']}"
        await insider.post(f"{path}/files", json={"file_id": file, "groups": ["board"]})
        while (await insider.get(f"{path}/files/{file}")).json()["status"] == "in_progress":
            pass

        assert len((await insider.post(f"{path}/search", json={"query": "minutes"})).json()["data"]) == 1
        assert (await outsider.post(f"{path}/search", json={"query": "minutes"})).json()["data"] == []
        for probe in (f"{path}/files/{file}", f"{path}/files/{file}/content", f"/v1/files/{file}/content"):
            assert (await insider.get(probe)).status_code == 200, probe
            assert (await outsider.get(probe)).status_code == 404, probe
        assert (await outsider.get(f"{path}/files")).json()["data"] == []
        question = {"messages": [{"role": "user", "content": "minutes"}], "vector_store_ids": [store["id"]]}
        assert "Minutes" not in (await outsider.post("/v1/chat/completions", json=question)).text.replace("minutes", "")


async def test_revoking_every_key_opens_nothing(guarded: Guarded) -> None:
    token = await guarded.key()
    async with guarded.client(token) as client:
        assert (await client.get("/v1/models")).status_code == 200
        await guarded.keys.revoke(guarded.last.id)
        await guarded.authenticator.refresh()
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/v1/models", headers={"host": "127.0.0.1"})).status_code == 401


@pytest.mark.parametrize("header", [b"", b"Bearer", b"Bearer ", b"Basic abc", b"psk_x", b"Bearer \xff\xfe"])
async def test_what_is_no_key_is_refused(guarded: Guarded, header: bytes) -> None:
    await guarded.key()

    with pytest.raises(Unauthenticated):
        guarded.authenticator.authenticate({"type": "http", "headers": [(b"authorization", header)]})


async def test_telling_who_calls_costs_little(guarded: Guarded) -> None:
    token = await guarded.key()
    scope = {"type": "http", "headers": [(b"host", b"x"), (b"authorization", b"Bearer " + token.encode())]}
    began_s = time.perf_counter()

    for _ in range(2_000):
        guarded.authenticator.authenticate(scope)

    assert (time.perf_counter() - began_s) / 2_000 < 100e-6  # 3 µs on an idle core; the machine may be busy
