"""What our own server writes and leaves behind, over real connections."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock.config import ServerSettings
from penstock.gateway.readiness import Readiness
from penstock.gateway.serve import bind, make_server
from tests.gateway.world import Live, request_bytes

SEARCH = request_bytes("/v1/vector_stores/rivers/search", b'{"query":"Rhine"}')


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to our server with another application behind it."""
    bound = bind(host="127.0.0.1", port=0)
    server = make_server(app=app, settings=ServerSettings(), readiness=Readiness())
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    await server.listening.wait()
    address: tuple[str, int] = bound.getsockname()
    try:
        reader, writer = await asyncio.open_connection(*address, family=socket.AF_INET)
        yield reader, writer
        writer.close()
    finally:
        server.stop()
        await serving


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


async def test_who_leaves_is_heard_by_the_one_that_answers_though_another_came_after_it() -> None:
    began, heard = asyncio.Event(), asyncio.Event()

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        began.set()
        assert (await receive())["type"] == "http.disconnect"
        heard.set()

    async with served(app) as (_, writer):
        writer.write(2 * b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        async with asyncio.timeout(5):
            await began.wait()
            writer.close()
            await heard.wait()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/silent", b"500"), ("/broken", b"500"), ("/short", b""), ("/half", b"")],
)
async def test_an_application_that_breaks_gives_an_error_or_nothing_never_a_part(path: str, status: bytes) -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] == "/silent":
            return
        if scope["path"] == "/broken":
            raise ValueError
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        if scope["path"] == "/short":
            await send({"type": "http.response.body", "body": b"short"})

    async with served(app) as (reader, writer):
        writer.write(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
        async with asyncio.timeout(5):
            answer = await reader.read()  # to the end: the connection is closed
    assert answer.partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 ")[:3] == status


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\x00b", b"a\x7fb"])
async def test_a_header_with_a_control_character_is_never_sent(value: bytes) -> None:
    async def app(_scope: Any, _receive: Any, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        headers = [(b"content-length", b"2"), (b"x-name", value)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async with served(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = await answer_of(reader)
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"set-cookie" not in answer
