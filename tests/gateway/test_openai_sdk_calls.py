"""Every call that the official Python SDK has for what we offer, made by both of its clients as they are.

A method of the SDK that is neither called here nor listed as not offered fails the test.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.folders import copied
from tests.gateway.world import Live, World

TEXT = b"A penstock is a pipe.\nIt carries water under pressure to a turbine.\n"
QUESTION = "What is a penstock?"
RESOURCES = (
    "files",
    "uploads",
    "uploads.parts",
    "vector_stores",
    "vector_stores.files",
    "vector_stores.file_batches",
    "chat.completions",
    "chat.completions.messages",
    "responses",
    "responses.input_items",
    "responses.input_tokens",
    "embeddings",
    "models",
)
NOT_OFFERED = {
    # kept chat completions: responses are what is kept
    "chat.completions.list",
    "chat.completions.retrieve",
    "chat.completions.update",
    "chat.completions.delete",
    "chat.completions.messages.list",
    # answers in the background, which are all that can be cancelled
    "responses.cancel",
    # a conversation is condensed by itself; tokens are counted by engines; streams are server-sent events
    "responses.compact",
    "responses.input_tokens.count",
    "responses.connect",
    # models are settings of the server
    "models.delete",
}


class Watched:
    """The SDK, seen through: which of its methods are called."""

    def __init__(self, real: Any, called: set[str], path: str = "") -> None:
        self._real, self._called, self._path = real, called, path

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        path = f"{self._path}.{name}".lstrip(".")
        if inspect.ismethod(found):
            self._called.add(path)
            return found
        return Watched(found, self._called, path)


async def done(result: Any) -> Any:
    """What either client's call comes to."""
    return await result if inspect.isawaitable(result) else result


async def each(page: Any) -> list[Any]:
    page = page if hasattr(page, "__aiter__") else await done(page)
    return [item async for item in page] if hasattr(page, "__aiter__") else list(page)


@asynccontextmanager
async def within(manager: Any) -> AsyncIterator[Any]:
    if hasattr(manager, "__aenter__"):
        async with manager as entered:
            yield entered
    else:
        with manager as entered:
            yield entered


@pytest.fixture
def address(filled: Path, tmp_path: Path) -> Iterator[str]:
    """A gateway in a thread of its own: one of the clients blocks."""
    started = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        world = World(folder=copied(filled, tmp_path / "data"))
        await world.start()
        live = Live(world)
        await live.start()
        loop = asyncio.get_running_loop()
        found.update(url=live.url, stop=lambda: loop.call_soon_threadsafe(live.server.stop))
        started.set()
        await live.stopped()
        await world.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(60)
    yield f"{found['url']}/v1"
    found["stop"]()
    thread.join()


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
async def test_every_call(address: str, kind: Any, tmp_path: Path) -> None:
    called: set[str] = set()
    real = kind(base_url=address, api_key="none", max_retries=0)
    sdk = Watched(real, called)

    try:
        file_id = await files(sdk, tmp_path)
        store_id = await stores(sdk, file_id)
        await answers(sdk, store_id)
        await service(sdk)
        await end(sdk, store_id, file_id)
    finally:
        await done(real.close())

    methods = set()
    for path in RESOURCES:
        resource = real
        for name in path.split("."):
            resource = getattr(resource, name)
        methods |= {
            f"{path}.{name}"
            for name, _ in inspect.getmembers(resource, inspect.ismethod)
            if not name.startswith(("_", "with_"))
        }
    assert methods - called == NOT_OFFERED


async def files(sdk: Any, folder: Path) -> str:
    file = await done(sdk.files.create(file=("penstock.txt", TEXT), purpose="assistants"))
    assert (await done(sdk.files.retrieve(file.id))).filename == "penstock.txt"
    assert (await done(sdk.files.content(file.id))).content == TEXT
    with pytest.warns(DeprecationWarning, match=r"content\(\)"):
        assert await done(sdk.files.retrieve_content(file.id)) == TEXT.decode()
    assert (await done(sdk.files.wait_for_processing(file.id))).status == "processed"
    more = [await done(sdk.files.create(file=(f"{n}.txt", TEXT), purpose="user_data")) for n in range(3)]
    pages = await each(sdk.files.list(purpose="user_data", limit=2, order="asc"))
    assert [item.id for item in pages] == [item.id for item in more]

    path = folder / "large.txt"
    await asyncio.to_thread(path.write_bytes, TEXT * 5_000)
    whole = await done(
        sdk.uploads.upload_file_chunked(file=path, mime_type="text/plain", purpose="assistants", part_size=100_000)
    )
    assert (whole.status, whole.file.bytes) == ("completed", len(TEXT) * 5_000)
    upload = await done(
        sdk.uploads.create(bytes=len(TEXT), filename="b.txt", mime_type="text/plain", purpose="assistants")
    )
    part = await done(sdk.uploads.parts.create(upload.id, data=TEXT))
    upload = await done(sdk.uploads.complete(upload.id, part_ids=[part.id]))
    assert upload.file.filename == "b.txt"
    upload = await done(sdk.uploads.create(bytes=1, filename="c.txt", mime_type="text/plain", purpose="assistants"))
    assert (await done(sdk.uploads.cancel(upload.id))).status == "cancelled"
    for item in (*more, whole.file):
        assert (await done(sdk.files.delete(item.id))).deleted
    return str(file.id)


async def stores(sdk: Any, file_id: str) -> str:
    store = await done(sdk.vector_stores.create(name="hydro", metadata={"team": "power"}))
    expiry = {"anchor": "last_active_at", "days": 7}
    store = await done(sdk.vector_stores.update(store.id, name="water", expires_after=expiry))
    assert (await done(sdk.vector_stores.retrieve(store.id))).expires_after.days == 7
    assert store.id in {item.id for item in await each(sdk.vector_stores.list(limit=1))}

    files = sdk.vector_stores.files
    named = {"vector_store_id": store.id}
    await done(files.create(store.id, file_id=file_id, attributes={"year": 1998}))
    assert (await done(files.poll(file_id, **named, poll_interval_ms=20))).status == "completed"
    again = await done(files.create_and_poll(file_id, **named, attributes={"year": 1998}, poll_interval_ms=20))
    assert again.status == "completed"
    assert (await done(files.update(file_id, **named, attributes={"year": 2026}))).attributes == {"year": 2026}
    assert (await done(files.retrieve(file_id, **named))).attributes == {"year": 2026}
    assert [part.text for part in await each(files.content(file_id, **named))] != []
    await done(files.upload(**named, file=("d.txt", b"A surge tank takes up water hammer.")))
    polled = await done(
        files.upload_and_poll(**named, file=("e.txt", b"Trash racks keep branches out."), poll_interval_ms=20)
    )
    assert polled.status == "completed"
    assert len(await each(files.list(store.id, limit=2, filter="completed"))) >= 2
    assert (await done(files.delete(polled.id, **named))).deleted

    batches = sdk.vector_stores.file_batches
    ids = {"file_ids": [file_id], "attributes": {"year": 2026}}
    batch = await done(batches.create(store.id, **ids))
    assert (await done(batches.poll(batch.id, **named, poll_interval_ms=20))).status == "completed"
    assert (await done(batches.retrieve(batch.id, **named))).file_counts.completed == 1
    assert (await done(batches.create_and_poll(store.id, **ids, poll_interval_ms=20))).status == "completed"
    uploads = [("f.txt", b"Kaplan turbines turn in low heads."), ("g.txt", b"Pelton wheels suit high heads.")]
    batch = await done(batches.upload_and_poll(store.id, files=uploads, poll_interval_ms=20))
    assert batch.file_counts.completed == 2
    assert len(await each(batches.list_files(batch.id, **named))) == 2
    assert (await done(batches.cancel(batch.id, **named))).id == batch.id

    found = await each(
        sdk.vector_stores.search(
            store.id,
            query=QUESTION,
            max_num_results=3,
            rewrite_query=True,
            filters={"type": "eq", "key": "year", "value": 2026},
            ranking_options={"ranker": "auto", "score_threshold": 0.0},
        )
    )
    assert {hit.file_id for hit in found} == {file_id}
    return str(store.id)


async def answers(sdk: Any, store_id: str) -> None:
    chat: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": QUESTION}]}
    whole = await done(sdk.chat.completions.create(**chat, extra_body={"vector_store_ids": [store_id]}))
    assert "pipe" in whole.choices[0].message.content
    parsed = await done(sdk.chat.completions.parse(**chat))
    assert parsed.choices[0].message.content
    chunks = await each(sdk.chat.completions.create(**chat, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    async with within(sdk.chat.completions.stream(**chat)) as stream:
        kinds = [event.type for event in await each(stream)]
        final = await done(stream.get_final_completion())
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)
    assert final.choices[0].message.content

    tools = [{"type": "file_search", "vector_store_ids": [store_id], "max_num_results": 4}]
    asked: dict[str, Any] = {"model": "auto", "input": QUESTION, "tools": tools}
    first = await done(sdk.responses.create(**asked, include=["file_search_call.results"]))
    assert "pipe" in first.output_text
    assert first.output[0].results[0].text
    assert first.output[1].content[0].annotations[0].type == "file_citation"
    assert (await done(sdk.responses.parse(**asked))).output_text == first.output_text
    events = await each(sdk.responses.create(**asked, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == first.output_text
    async with within(sdk.responses.stream(**asked, previous_response_id=first.id)) as stream:
        kinds = [event.type for event in await each(stream)]
        last = await done(stream.get_final_response())
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert last.previous_response_id == first.id
    kept = await done(sdk.responses.retrieve(first.id, include=["file_search_call.results"]))
    assert kept.output == first.output
    assert [item.content[0].text for item in await each(sdk.responses.input_items.list(first.id))] == [QUESTION]
    followed = await done(
        sdk.responses.create(
            model="auto", input=[*first.to_dict()["output"], {"role": "user", "content": "What does it carry?"}]
        )
    )
    assert followed.status == "completed"
    await done(sdk.responses.delete(first.id))
    with pytest.raises(openai.NotFoundError):
        await done(sdk.responses.retrieve(first.id))


async def service(sdk: Any) -> None:
    packed = await done(sdk.embeddings.create(model="auto", input=["one", "two"]))
    plain = await done(sdk.embeddings.create(model="auto", input="one", encoding_format="float", dimensions=64))
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
    models = [model.id for model in await each(sdk.models.list())]
    assert (await done(sdk.models.retrieve(models[0]))).id == models[0]


async def end(sdk: Any, store_id: str, file_id: str) -> None:
    assert (await done(sdk.vector_stores.files.delete(file_id, vector_store_id=store_id))).deleted
    assert (await done(sdk.vector_stores.delete(store_id))).deleted
    assert (await done(sdk.files.delete(file_id))).deleted
