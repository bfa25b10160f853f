"""`/mcp` with the official SDK's own client, over a real socket."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest

mcp = pytest.importorskip("mcp", reason="the extra 'mcp' is not installed")

import httpx2  # noqa: E402
from mcp import Client, MCPError  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402

from penstock.catalog.keys import Keys, hash_of  # noqa: E402
from penstock.config import FlowSettings  # noqa: E402
from penstock.core.errors import StageUnavailable  # noqa: E402
from penstock.gateway.keys import KeyAuthenticator  # noqa: E402
from tests.gateway.conftest import client_of  # noqa: E402
from tests.gateway.world import RIVERS, Live, Scripted  # noqa: E402

SECRET = b"s" * 32
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
HEAD = {"accept": "application/json, text/event-stream"}


@asynccontextmanager
async def connected(live: Live, *, key: str = "", mode: str = "auto", **headers: str):
    if key:
        headers["Authorization"] = f"Bearer {key}"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30.0) as http,
        Client(streamable_http_client(f"{live.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_both_generations_of_the_protocol_search_and_ask(live: Live, mode: str):
    async with connected(live, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "ask"}
        for tool in tools.values():
            assert tool.input_schema["type"] == tool.output_schema["type"] == "object"
            assert tool.annotations.read_only_hint
        found = await client.call_tool("search", {"query": "How long is the Rhine?", "max_num_results": 2})
        answer = await client.call_tool("ask", {"question": "How long is the Rhine?", "vector_store_ids": ["rivers"]})
    assert not found.is_error
    passages = found.structured_content["results"]
    assert [passage["number"] for passage in passages] == [1, 2]
    assert passages[0]["filename"] == "rhine.md"
    assert passages[0]["text"] in found.content[0].text
    said = answer.structured_content
    assert "1,233" in said["answer"]
    assert said["citations"][0]["filename"] == "rhine.md"
    assert any("1,233" in citation["quote"] for citation in said["citations"])
    assert said["model"] == "penstock-extractive"
    assert said["answer"] in answer.content[0].text


async def test_a_citation_leads_to_its_passage_as_a_resource(live: Live):
    async with connected(live) as client:
        answer = await client.call_tool("ask", {"question": "How long is the Rhine?"})
        uri = answer.structured_content["citations"][0]["uri"]
        passage = (await client.read_resource(uri)).contents[0].text
        whole = (await client.read_resource(uri.partition("#")[0])).contents[0].text
        listed = await client.list_resources()
        templates = (await client.list_resource_templates()).resource_templates
        with pytest.raises(MCPError, match="No"):
            await client.read_resource(uri.replace("file_rhine", "file_nile"))
    assert passage == whole == RIVERS["rhine.md"][1]
    assert {resource.name for resource in listed.resources} == set(RIVERS)
    assert uri.partition("#")[0] in {resource.uri for resource in listed.resources}
    assert [template.uri_template for template in templates] == ["penstock:{vector_store_id}/{file_id}"]


async def test_filters_narrow_a_search(live: Live):
    async with connected(live) as client:
        found = await client.call_tool(
            "search", {"query": "river", "filters": {"type": "eq", "key": "country", "value": "Germany"}}
        )
    assert [one["filename"] for one in found.structured_content["results"]] == ["danube.md"]


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "param"),
    [
        ("search", {}, "missing_required_parameter", "query"),
        ("search", {"query": "x", "limit": 3}, "unsupported_parameter", "limit"),
        ("search", {"query": "x", "max_num_results": 500}, "invalid_value", "max_num_results"),
        ("search", {"query": " "}, "empty_question", "query"),
        ("search", {"query": "x", "vector_store_ids": ["lakes"]}, "not_found", "vector_store_ids[0]"),
        ("ask", {"question": "x", "model": "gpt-9"}, "not_found", "model"),
    ],
)
async def test_a_tools_fault_is_told_to_the_model(
    live: Live, tool: str, arguments: dict[str, Any], code: str, param: str
):
    async with connected(live) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    error = result.structured_content["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"] in result.content[0].text


async def test_an_engine_that_breaks_is_a_fault_and_a_bug_of_ours_tells_nothing(make_live):
    live = await make_live(engine=Scripted(fails=StageUnavailable("generate", "gone")), first="scripted")
    async with connected(live) as client:
        broken = await client.call_tool("ask", {"question": "Rhine?"})
        live.world.engine.fails = RuntimeError("secret path")
        bug = await client.call_tool("ask", {"question": "Rhine?"})
    assert broken.structured_content["error"]["code"] == "stage_unavailable"
    assert bug.structured_content["error"]["code"] == "internal_error"
    assert "secret" not in str(bug)


async def test_an_unknown_tool_is_a_protocol_error(live: Live):
    async with connected(live) as client:
        with pytest.raises(MCPError, match="search and ask"):
            await client.call_tool("rm", {})


async def test_it_comes_in_by_the_same_doors(make_live):
    engine = Scripted(words=["One"] * 50, pause_s=0.05)
    live = await make_live(engine=engine, first="scripted", flow=FlowSettings(max_answers=1, wait_s=0.05))
    async with connected(live) as client, connected(live) as other:
        first = asyncio.create_task(client.call_tool("ask", {"question": "Rhine?"}))
        await engine.started.wait()
        second = await other.call_tool("ask", {"question": "Rhine?"})
        first.cancel()
    assert second.structured_content["error"]["code"] == "overloaded"
    assert second.structured_content["error"]["retry_after_s"] >= 1


async def test_a_client_that_leaves_frees_the_engine(make_live):
    engine = Scripted(words=["One"] * 400, pause_s=0.05)
    live = await make_live(engine=engine, first="scripted")
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "ask", "arguments": {"question": "Rhine?"}},
    }
    async with httpx.AsyncClient(base_url=live.url, headers=HEAD) as http:
        asking = asyncio.create_task(http.post("/mcp", json=body))
        await engine.started.wait()
        asking.cancel()
        await asyncio.wait_for(engine.closed.wait(), 2.0)
    assert engine.spoken < 40


async def test_the_deadline_of_the_request_holds(make_live):
    live = await make_live(engine=Scripted(words=["One"] * 400, pause_s=0.05), first="scripted")
    async with httpx.AsyncClient(base_url=live.url, headers=HEAD | {"x-request-timeout": "0.3"}) as http:
        call = {"name": "ask", "arguments": {"question": "Rhine?"}}
        answer = await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"accept": "text/html"}, 406),
    ],
)
async def test_pages_from_elsewhere_and_rebound_names_stay_out(world, headers: dict[str, str], status: int):
    async with client_of(world) as client:
        answer = await client.post("/mcp", json=PING, headers=HEAD | headers)
    assert answer.status_code == status


async def test_there_are_no_sessions_to_keep(world):
    async with client_of(world) as client:
        for method in ("GET", "DELETE"):
            answer = await client.request(method, "/mcp", headers=HEAD)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert "mcp-session-id" not in (await client.post("/mcp", json=PING, headers=HEAD)).headers


async def test_without_the_extra_it_says_what_to_install(make_world, monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    world = await make_world()
    async with client_of(world) as client:
        answer = await client.post("/mcp", json=PING, headers=HEAD)
    assert answer.status_code == 501
    assert "penstock[mcp]" in answer.json()["error"]["message"]


class Lazy:
    """The catalog of keys, once there is one."""

    keys: Keys

    async def every(self) -> Any:
        return await self.keys.every()


async def test_keys_decide_who_calls_and_tenants_and_groups_what_is_found(make_live):
    lazy = Lazy()
    authenticator = KeyAuthenticator(keys=lazy, hash_of=partial(hash_of, secret=SECRET))
    live = await make_live(authenticator=authenticator)
    lazy.keys = Keys(database=live.world._database)

    async def key(**what: Any) -> str:
        return (await lazy.keys.create(secret=SECRET, scopes=what.pop("scopes", ("read", "write")), **what))[1]

    mine, theirs, few = await key(groups=("board",)), await key(tenant="other"), await key()
    writer = await key(scopes=("write",))
    await authenticator.refresh()
    async with httpx.AsyncClient(base_url=live.url, headers={"authorization": f"Bearer {mine}"}) as http:
        file = (
            await http.post(
                "/v1/files", files={"file": ("oder.md", b"The Oder is 866 km long.")}, data={"purpose": "assistants"}
            )
        ).json()
        await http.post("/v1/vector_stores/rivers/files", json={"file_id": file["id"], "groups": ["board"]})
        while (await http.get(f"/v1/vector_stores/rivers/files/{file['id']}")).json()["status"] == "in_progress":
            await asyncio.sleep(0.02)

    async def sees(token: str) -> tuple[set[str], set[str]]:
        async with connected(live, key=token) as client:
            found = await client.call_tool("search", {"query": "How long is the Oder?", "max_num_results": 10})
            listed = await client.list_resources()
        names = {one["filename"] for one in found.structured_content["results"]}
        return names, {resource.name for resource in listed.resources}

    assert await sees(mine) == ({"oder.md", *RIVERS}, {"oder.md", *RIVERS})
    assert await sees(few) == (set(RIVERS), set(RIVERS))
    assert await sees(theirs) == (set(), set())
    uri = f"penstock:{live.world.rivers}/{file['id']}"
    async with connected(live, key=mine) as client:
        assert "866" in (await client.read_resource(uri)).contents[0].text
    told = set()
    for token in (few, theirs):
        async with connected(live, key=token) as client:
            with pytest.raises(MCPError) as caught:
                await client.read_resource(uri)
            told.add(caught.value.error.code)
    assert told == {-32002}
    async with httpx.AsyncClient(base_url=live.url, headers=HEAD) as http:
        statuses = [
            (await http.post("/mcp", json=PING, headers={"authorization": f"Bearer {token}"})).status_code
            for token in ("wrong", writer)
        ]
        assert [(await http.post("/mcp", json=PING)).status_code, *statuses] == [401, 401, 403]
