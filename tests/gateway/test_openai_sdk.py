"""The official SDK, unpatched, with nothing changed but its address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import openai
import pytest

from tests.folders import copied
from tests.gateway.world import Live, Scripted

QUESTION: list[Any] = [{"role": "user", "content": "How long is the Rhine?"}]


@pytest.fixture
async def sdk(live: Live) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


async def test_chat(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="penstock-extractive", messages=QUESTION, extra_body={"vector_store_ids": ["rivers"]}
    )

    message = answer.choices[0].message
    assert message.content is not None
    assert "1,233" in message.content
    assert message.annotations is not None
    cited = message.annotations[0].url_citation
    assert message.content[cited.start_index : cited.end_index] == "[1]"
    assert cited.title == "The Rhine"
    assert answer.model_extra is not None
    assert answer.model_extra["penstock"]["abstained"] is False


async def test_an_answer_can_be_sent_back_as_it_came(sdk: openai.AsyncOpenAI) -> None:
    first = await sdk.chat.completions.create(model="penstock-extractive", messages=QUESTION)
    history = [*QUESTION, first.choices[0].message.model_dump(), {"role": "user", "content": "How long is the Elbe?"}]

    second = await sdk.chat.completions.create(model="penstock-extractive", messages=history)

    assert second.choices[0].message.content is not None
    assert "1,094" in second.choices[0].message.content


async def test_streamed_chat(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="scripted", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "One two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10


async def test_an_error_in_a_stream_is_raised(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(engine=Scripted(ends=False))
    heard = ""
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as sdk:
        stream = await sdk.chat.completions.create(model="scripted", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError, match="stopped before its answer was complete"):  # noqa: PT012 - the loop is the statement
            async for chunk in stream:
                heard += chunk.choices[0].delta.content or ""

    assert heard == "One two three"


async def test_stores_and_search(sdk: openai.AsyncOpenAI, live: Live) -> None:
    stores = [store async for store in sdk.vector_stores.list(limit=1)]
    store = await sdk.vector_stores.retrieve(stores[0].id)
    page = await sdk.vector_stores.search(
        store.id,
        query="How long is the river?",
        max_num_results=2,
        filters={"type": "and", "filters": [{"type": "eq", "key": "tidal", "value": True}]},
        ranking_options={"score_threshold": 0.0},
    )

    assert [store.id for store in stores] == [live.world.rivers]
    assert store.file_counts.completed == 3
    assert {result.filename for result in page.data} == {"rhine.md", "elbe.md"}
    assert page.data[0].attributes is not None
    assert page.data[0].attributes["tidal"] is True


async def test_models(sdk: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in sdk.models.list()] == ["penstock-extractive", "scripted"]


async def test_errors_are_the_sdks(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await sdk.vector_stores.retrieve("vs_none")
    with pytest.raises(openai.BadRequestError) as wrong:
        await sdk.chat.completions.create(model="penstock-extractive", messages=QUESTION, n=2)

    assert missing.value.code == "not_found"
    assert (wrong.value.code, wrong.value.param) == ("unsupported_parameter", "n")
    assert wrong.value.request_id is not None


def test_the_synchronous_client_too(filled: Any, tmp_path: Any) -> None:
    """In a process of its own thread: the SDK blocks, the server must not be in the same loop."""
    import asyncio
    import threading

    from tests.gateway.world import World

    started, port, stop = threading.Event(), [0], [lambda: None]

    async def serve() -> None:
        world = World(folder=copied(filled, tmp_path / "data"))
        await world.start()
        live = Live(world)
        await live.start()
        loop = asyncio.get_running_loop()
        port[0], stop[0] = live.port, lambda: loop.call_soon_threadsafe(live.server.stop)
        started.set()
        await live.stopped()
        await world.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    try:
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port[0]}/v1", api_key="none", max_retries=0) as sdk:
            with sdk.chat.completions.create(model="penstock-extractive", messages=QUESTION, stream=True) as stream:
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            found = sdk.vector_stores.search("rivers", query=["Danube"])
    finally:
        stop[0]()
        thread.join()

    assert "1,233" in text
    assert found.data[0].filename == "danube.md"
