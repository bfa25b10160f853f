"""Stores and the files in them, driven by the official SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from penstock.core.errors import InvalidRequest
from penstock.gateway.routes.chunking import chunk_tokens
from tests.gateway.world import Live, World

TEXT = b"A penstock is a pipe.\nIt carries water under pressure to a turbine.\n"


@pytest.fixture
async def sdk(live: Live) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


async def completed(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """The file of a store, once it is no longer in progress."""
    while True:
        answer: dict[str, Any] = (await client.get(path)).json()
        if answer.get("status") != "in_progress":
            return answer
        await asyncio.sleep(0.01)


async def test_the_sdk_from_an_empty_store_to_an_answer_and_back(sdk: openai.AsyncOpenAI, live: Live) -> None:
    store = await sdk.vector_stores.create(name="hydro", metadata={"team": "power"})
    file = await sdk.files.create(file=("penstock.txt", TEXT), purpose="assistants")
    attached = await sdk.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, attributes={"year": 1998}, poll_interval_ms=20
    )
    assert (attached.status, attached.last_error, attached.attributes) == ("completed", None, {"year": 1998.0})

    found = await sdk.vector_stores.search(store.id, query="What is a penstock?")
    assert {result.file_id for result in found.data} == {file.id}
    answer = await sdk.chat.completions.create(
        model="penstock-extractive",
        messages=[{"role": "user", "content": "What is a penstock?"}],
        extra_body={"vector_store_ids": [store.id]},
    )
    assert "pipe" in (answer.choices[0].message.content or "")
    parts = [part async for part in await sdk.vector_stores.files.content(file.id, vector_store_id=store.id)]
    assert "pressure" in " ".join(part.text or "" for part in parts)
    await sdk.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"year": 2026})
    newer: Any = {"type": "eq", "key": "year", "value": 2026}
    assert (await sdk.vector_stores.search(store.id, query="penstock", filters=newer)).data
    described = await sdk.vector_stores.retrieve(store.id)
    assert (described.file_counts.completed, described.metadata) == (1, {"team": "power"})
    assert described.usage_bytes == len(TEXT)

    await sdk.vector_stores.files.delete(file.id, vector_store_id=store.id)
    assert (await sdk.vector_stores.search(store.id, query="penstock")).data == []
    await sdk.files.delete(file.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.files.content(file.id)
    await sdk.vector_stores.delete(store.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.vector_stores.retrieve(store.id)
    assert not (live.world.folder / "stores" / store.id).exists()


async def test_batches_with_the_sdk(sdk: openai.AsyncOpenAI) -> None:
    store = await sdk.vector_stores.create(name="batch")
    batch = await sdk.vector_stores.file_batches.upload_and_poll(
        store.id, files=[("a.txt", TEXT), ("b.txt", b"broken"), ("c.txt", b"Another text.")], poll_interval_ms=20
    )

    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 2, 1)
    failed = [
        file
        async for file in sdk.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="failed")
    ]
    assert len(failed) == 1
    assert failed[0].last_error is not None
    assert failed[0].last_error.code == "invalid_file"
    every = [file async for file in sdk.vector_stores.files.list(store.id, limit=2)]
    assert len(every) == 3
    cancelled = await sdk.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert cancelled.file_counts.completed == 2


async def test_a_store_made_with_files_and_an_expiry(client: httpx.AsyncClient, world: World) -> None:
    upload = await client.post("/v1/files", data={"purpose": "assistants"}, files={"file": ("a.txt", TEXT)})
    body = {"file_ids": [upload.json()["id"]], "expires_after": {"anchor": "last_active_at", "days": 7}}

    store = (await client.post("/v1/vector_stores", json=body)).json()

    assert store["expires_after"] == {"anchor": "last_active_at", "days": 7}
    assert store["expires_at"] == pytest.approx(store["created_at"] + 7 * 86_400, abs=2)
    path = f"/v1/vector_stores/{store['id']}"
    assert (await completed(client, f"{path}/files/{upload.json()['id']}"))["status"] == "completed"
    long_ago = "UPDATE stores SET last_active_s = 0 WHERE id = ?"
    await world._database.run(lambda connection: connection.execute(long_ago, (store["id"],)))
    world._database.stores_seen.forget()
    assert (await client.get(path)).json()["status"] == "expired"
    refused = await client.post(f"{path}/search", json={"query": "penstock"})
    assert refused.json()["error"]["code"] == "vector_store_expired"
    assert (await client.post(path, json={"expires_after": None})).json()["status"] == "completed"
    assert (await client.post(f"{path}/search", json={"query": "penstock"})).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("", {"name": "x" * 257}, 400, "name"),
        ("", {"metadata": {"k": 1}}, 400, "metadata[...]"),
        ("", {"metadata": {str(n): "" for n in range(17)}}, 400, "metadata"),
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, 400, "expires_after.anchor"),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, 400, "expires_after.days"),
        ("", {"file_ids": ["file-none"]}, 404, None),
        ("", {"colour": "red"}, 400, "colour"),
        ("/rivers/files", {"file_id": "file-none"}, 404, None),
        ("/rivers/files", {}, 400, "file_id"),
        ("/rivers/files", {"file_id": "f", "attributes": {str(n): 1 for n in range(17)}}, 400, "attributes"),
        ("/rivers/files", {"file_id": "f", "attributes": {"k": "x" * 513}}, 400, "attributes[...]"),
        ("/rivers/files", {"file_id": "f", "attributes": {"k": None}}, 400, "attributes[...]"),
        ("/rivers/files", {"file_id": "f", "chunking_strategy": {"type": "semantic"}}, 400, "chunking_strategy"),
        ("/rivers/file_batches", {}, 400, "file_ids"),
        ("/rivers/file_batches", {"file_ids": []}, 400, "file_ids"),
        ("/rivers/file_batches", {"files": [{"file_id": "a"}, {"file_id": "a"}]}, 400, "files"),
        ("/rivers/file_batches/vsfb_none/cancel", None, 404, None),
        ("/none/files", {"file_id": "f"}, 404, None),
        ("/none", {"name": "x"}, 404, None),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_wrong_requests_are_named(
    reader: httpx.AsyncClient, path: str, body: dict[str, Any] | None, status: int, param: str | None
) -> None:
    response = await reader.post(f"/v1/vector_stores{path}", json=body)

    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        (None, 0),
        ({"type": "auto"}, 0),
        ({"type": "static", "static": {"max_chunk_size_tokens": 128, "chunk_overlap_tokens": 0}}, 128),
    ],
)
def test_a_chunking_strategy_that_we_have(asked: Any, tokens: int) -> None:
    assert chunk_tokens(asked, 256) == tokens


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}, "max_chunk_size"),
        ({"type": "static", "static": {"max_chunk_size_tokens": 128, "chunk_overlap_tokens": 64}}, "chunk_overlap"),
        ({"type": "static", "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}}, "max_chunk_size"),
        ({"type": "static", "static": {"max_chunk_size_tokens": True}}, "max_chunk_size"),
        ({"type": "static", "static": {"max_chunk_size_tokens": 128, "colour": 1}}, "colour"),
        ({"type": "static", "static": 5}, "chunking_strategy"),
        ({"type": "auto", "more": 1}, "chunking_strategy"),
        ({}, "chunking_strategy"),
    ],
)
def test_a_chunking_strategy_that_we_do_not_have_is_refused_by_name(asked: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        chunk_tokens(asked, 256)

    assert param in (refused.value.param or "")
