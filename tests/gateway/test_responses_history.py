"""What was deleted is in no answer that is kept: each document has a word of its own, and no reply may have it.

`PENSTOCK_HISTORY=250` asks, deletes and uploads again about 10,000 times.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import httpx
import pytest

from tests.gateway.test_files_in_stores import completed
from tests.gateway.test_responses import PATH, ask, text_of
from tests.gateway.world import World

ROUNDS = int(os.environ.get("PENSTOCK_HISTORY", "1"))
SEED = int(os.environ.get("PENSTOCK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
INCLUDE = {"include[]": "file_search_call.results"}


async def add(client: httpx.AsyncClient, store: str, word: str, number: int = 1) -> str:
    """A file with this word in it, attached and read."""
    text = f"The depth of lake {number} is {len(word)} {word}. Lake {number} is cold.".encode()
    upload = await client.post("/v1/files", data={"purpose": "assistants"}, files={"file": (f"{word}.txt", text)})
    file_id: str = upload.json()["id"]
    await client.post(f"/v1/vector_stores/{store}/files", json={"file_id": file_id})
    assert (await completed(client, f"/v1/vector_stores/{store}/files/{file_id}"))["status"] == "completed"
    return file_id


async def everything_kept(client: httpx.AsyncClient, response_id: str) -> str:
    """All that can be read of an answer."""
    whole = await client.get(f"{PATH}/{response_id}", params=INCLUDE)
    items = await client.get(f"{PATH}/{response_id}/input_items")
    assert whole.status_code == items.status_code == 200
    return whole.text + items.text


async def asked(client: httpx.AsyncClient, store: str, question: Any, **more: Any) -> dict[str, Any]:
    return await ask(client, question, tools=[{"type": "file_search", "vector_store_ids": [store]}], **more)


@pytest.mark.parametrize("how", ["file", "detach", "store"])
async def test_an_answer_goes_with_its_document(client: httpx.AsyncClient, how: str) -> None:
    store = (await client.post("/v1/vector_stores", json={"name": "lakes"})).json()["id"]
    file_id = await add(client, store, "qorvelux")
    first = await asked(client, store, "What is the depth of lake 1?")
    second = await asked(client, store, "Is it cold?", previous_response_id=first["id"])
    sent_back = [{"role": "user", "content": "How deep?"}, *first["output"], {"role": "user", "content": "Sure?"}]
    third = await asked(client, store, sent_back)
    assert "qorvelux" in text_of(first)
    assert "qorvelux" in await everything_kept(client, third["id"])

    path = {"file": f"/v1/files/{file_id}", "store": f"/v1/vector_stores/{store}"}
    await client.delete(path.get(how, f"/v1/vector_stores/{store}/files/{file_id}"))

    for response in (first, second, third):
        assert "qorvelux" not in await everything_kept(client, response["id"])
    kept = (await client.get(f"{PATH}/{first['id']}")).json()
    assert kept["status"] == "completed"
    assert "deleted" in text_of(kept)


async def test_nothing_of_it_goes_into_the_conversation_again(client: httpx.AsyncClient, world: World) -> None:
    store = (await client.post("/v1/vector_stores", json={"name": "lakes"})).json()["id"]
    file_id = await add(client, store, "qorvelux")
    first = await asked(client, store, "What is the depth of lake 1?")
    await client.delete(f"/v1/files/{file_id}")

    await asked(client, store, "And now?", previous_response_id=first["id"], model="scripted")

    said = [turn.content for turn in world.engine.prompts[-1].messages]
    assert said[0] == "What is the depth of lake 1?"
    assert not any("qorvelux" in text for text in said)


async def test_it_outlives_a_document_that_it_does_not_rest_on(client: httpx.AsyncClient) -> None:
    lakes = (await client.post("/v1/vector_stores", json={"name": "lakes"})).json()["id"]
    seas = (await client.post("/v1/vector_stores", json={"name": "seas"})).json()["id"]
    await add(client, lakes, "qorvelux")
    other = await add(client, seas, "brimtask")
    answer = await asked(client, lakes, "What is the depth of lake 1?")

    await client.delete(f"/v1/files/{other}")

    assert (await client.get(f"{PATH}/{answer['id']}")).json() == answer


@pytest.mark.timeout(max(120, 30 * ROUNDS))
async def test_asking_deleting_and_uploading_again_at_once(client: httpx.AsyncClient) -> None:
    """Whatever the order: once a deletion was answered, the word is in nothing that can be read."""
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    store = (await client.post("/v1/vector_stores", json={"name": "lakes"})).json()["id"]
    kept: list[str] = []
    gone: set[str] = set()

    async def keep_asking() -> None:
        before = None
        for _ in range(12):
            more = {"previous_response_id": before} if before and chance.random() < 0.5 else {}
            question = f"What is the depth of lake {chance.randrange(6)}?"
            before = (await asked(client, store, question, **more))["id"]
            kept.append(before)
            await asyncio.sleep(0)

    async def keep_deleting(files: dict[str, str]) -> None:
        for word, file_id in files.items():
            await asyncio.sleep(chance.random() * 0.03)
            await client.delete(f"/v1/files/{file_id}")
            gone.add(word)
            for response_id in kept[-8:]:
                assert word not in await everything_kept(client, response_id)

    for lap in range(ROUNDS):
        words = [f"canary{lap}n{number}x" for number in range(6)]
        files = {word: await add(client, store, word, number) for number, word in enumerate(words)}
        await asyncio.gather(*(keep_asking() for _ in range(3)), keep_deleting(files))

    assert len(kept) == 36 * ROUNDS
    for response_id in kept:
        text = await everything_kept(client, response_id)
        assert not any(word in text for word in gone)
