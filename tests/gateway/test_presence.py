"""A caller who leaves takes the work along. Tried over real connections: layers between hide disconnects."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.core.errors import DeadlineExceeded
from penstock.gateway.errors import ClientGone
from penstock.gateway.presence import Presence
from tests.gateway.world import Live, Scripted, request_bytes

CHAT = "/v1/chat/completions"
LONG = 5.0


def chat(**more: Any) -> bytes:
    body = {"model": "scripted", "messages": [{"role": "user", "content": "How long is the Rhine?"}], **more}
    return request_bytes(CHAT, json.dumps(body).encode())


async def soon(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(LONG):
        return await awaitable


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_leaving_stops_the_engine_at_once(
    make_live: Callable[..., Awaitable[Live]], *, stream: bool, reset: bool
) -> None:
    live = await make_live(engine=Scripted(words=["word"] * 1000, pause_s=0.02))
    engine = live.world.engine
    reader, writer = await live.connect()
    writer.write(chat(stream=stream))
    await soon(engine.started.wait())
    if stream:
        await soon(reader.readuntil(b'"content":"word"'))
    if reset:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()

    spoken = engine.spoken
    began_s = asyncio.get_running_loop().time()
    await soon(engine.closed.wait())

    assert asyncio.get_running_loop().time() - began_s < 1.0
    assert engine.spoken <= spoken + 25  # of a thousand
    metrics = await soon(gone_counted(live))
    assert 'penstock_answers_total{model="scripted",outcome="cancelled"} 1.0' in metrics


async def gone_counted(live: Live) -> str:
    """The metrics once the request that was left has been counted."""
    while True:
        metrics = live.world.metrics.exposition().decode()
        if f'penstock_requests_total{{route="{CHAT}",status="499"}} 1.0' in metrics:
            return metrics
        await asyncio.sleep(0.01)


async def test_leaving_before_the_first_word_stops_the_engine(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(engine=Scripted(pause_s=600.0))
    _, writer = await live.connect()
    writer.write(chat(stream=True))
    await soon(live.world.engine.started.wait())

    writer.close()

    await soon(live.world.engine.closed.wait())


async def test_a_neighbour_on_another_connection_is_not_touched(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(engine=Scripted(words=["a", "b", "c"], pause_s=0.1))
    _, leaving = await live.connect()
    staying_reader, staying = await live.connect()
    staying.write(chat(stream=True))
    leaving.write(chat(stream=True))
    await soon(live.world.engine.started.wait())

    leaving.close()

    answer = await soon(staying_reader.readuntil(b"[DONE]"))
    assert answer.count(b'"content":"') == 4
    staying.close()


async def test_time_that_runs_out_in_a_stream_is_an_event(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(engine=Scripted(words=["word"] * 1000, pause_s=0.05))
    reader, writer = await live.connect()
    writer.write(chat(stream=True, timeout=1.0))

    answer = await soon(reader.readuntil(b"\r\n0\r\n\r\n"))

    assert b'"content":"word"' in answer
    assert b"event: error\ndata: " in answer
    assert b'"code":"deadline_exceeded"' in answer
    assert b"[DONE]" not in answer
    assert live.world.engine.closed.is_set()
    writer.close()


async def test_a_connection_serves_again_after_an_answer(live: Live) -> None:
    reader, writer = await live.connect()
    for _ in range(3):
        writer.write(request_bytes("/v1/vector_stores/rivers/search", b'{"query":"Rhine"}'))
        head = await soon(reader.readuntil(b"\r\n\r\n"))
        assert head.startswith(b"HTTP/1.1 200")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await soon(reader.readexactly(length))
    writer.close()


# --- the block itself -------------------------------------------------------------


async def never() -> dict[str, str]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_departure_is_client_gone() -> None:
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, str]:
        return next(messages)

    with pytest.raises(ClientGone), Presence(scope={}, receive=receive, timeout_s=60.0):
        await asyncio.sleep(60.0)


async def test_the_end_of_the_time_is_deadline_exceeded() -> None:
    with pytest.raises(DeadlineExceeded), Presence(scope={}, receive=never, timeout_s=0.01):
        await asyncio.sleep(60.0)


async def test_a_cancellation_from_outside_stays_one() -> None:
    inside = asyncio.Event()

    async def work() -> None:
        with Presence(scope={}, receive=never, timeout_s=60.0):
            inside.set()
            await asyncio.sleep(60.0)

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_is_done_leaves_nothing_behind() -> None:
    before = len(asyncio.all_tasks())

    with Presence(scope={}, receive=never, timeout_s=60.0):
        await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert len(asyncio.all_tasks()) == before
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0
