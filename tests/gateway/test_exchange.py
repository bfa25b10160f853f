"""What our own server writes and leaves behind, over real connections."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from penstock.config import ServerSettings
from penstock.gateway.readiness import Readiness
from penstock.gateway.serve import bind, make_server
from tests.gateway.world import Live, request_bytes

SEARCH = request_bytes("/v1/vector_stores/rivers/search", b'{"query":"Rhine"}')


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await reader.readexactly(length)


async def test_a_request_leaves_nothing_for_the_collector(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live()
    reader, writer = await live.connect()
    for _ in range(20):  # what is made once is made
        writer.write(SEARCH)
        await answer_of(reader)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            writer.write(SEARCH)
            await answer_of(reader)
        found = gc.collect()
    finally:
        gc.enable()
    writer.close()
    assert found < 50  # less than one thing a request


async def test_requests_sent_together_are_answered_in_their_order(live: Live) -> None:
    reader, writer = await live.connect()
    other = request_bytes("/v1/vector_stores/rivers/search", b'{"query":"Danube"}')

    writer.write(SEARCH + other + SEARCH)

    answers = [await answer_of(reader) for _ in range(3)]
    assert [b'"search_query":["Rhine"]' in each for each in answers] == [True, False, True]
    writer.close()


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\x00b", b"a\x7fb"])
async def test_a_header_with_a_control_character_is_never_sent(value: bytes) -> None:
    async def app(_scope: Any, _receive: Any, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        headers = [(b"content-length", b"2"), (b"x-name", value)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    bound = bind(host="127.0.0.1", port=0)
    server = make_server(app=app, settings=ServerSettings(), readiness=Readiness())
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    await server.listening.wait()
    address: tuple[str, int] = bound.getsockname()
    try:
        reader, writer = await asyncio.open_connection(*address, family=socket.AF_INET)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = await answer_of(reader)
        writer.close()
    finally:
        server.stop()
        await serving
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"set-cookie" not in answer
