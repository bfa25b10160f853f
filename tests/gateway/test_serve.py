from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Awaitable, Callable

import pytest

from penstock.core.errors import PortBusy
from penstock.gateway.serve import bind
from tests.gateway.world import Live, Scripted, request_bytes

SEARCH = "/v1/vector_stores/rivers/search"
STREAM = request_bytes(
    "/v1/chat/completions",
    json.dumps(
        {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "How long is the Rhine?"}]}
    ).encode(),
)


async def cut(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes the connection."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


# --- the address ---------------------------------------------------------------------


def test_a_busy_port_says_what_to_do() -> None:
    with bind(host="127.0.0.1", port=0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortBusy) as busy:
            bind(host="127.0.0.1", port=port)

    assert f"Port {port} on 127.0.0.1 is in use" in busy.value.message
    assert f"--port {port + 1}" in busy.value.message


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortBusy, match="Cannot listen on 192\\.0\\.2\\.1"):
        bind(host="192.0.2.1", port=0)


def test_a_port_is_free_again_at_once() -> None:
    with bind(host="127.0.0.1", port=0) as first:
        port = first.getsockname()[1]
    with bind(host="127.0.0.1", port=port) as again:
        assert again.family == socket.AF_INET


# --- stopping ------------------------------------------------------------------------


async def test_a_signal_lets_a_running_stream_finish(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(engine=Scripted(words=["word"] * 10, pause_s=0.05))
    reader, writer = await live.connect()
    writer.write(STREAM)
    await reader.readuntil(b'"content":"word"')

    signal.raise_signal(signal.SIGTERM)

    rest = await cut(reader)
    assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert live.world.readiness.state == "stopping"
    await live.stopped()
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await live.connect()


async def test_what_does_not_finish_in_time_is_cut_with_an_event(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(engine=Scripted(words=["word"] * 10_000, pause_s=0.02), shutdown_timeout_s=0.3)
    reader, writer = await live.connect()
    writer.write(STREAM)
    await reader.readuntil(b'"content":"word"')

    live.server.stop()

    rest = await cut(reader)
    await live.stopped()
    assert b"event: error\ndata: " in rest
    assert b"The server is stopping" in rest
    assert b"[DONE]" not in rest
    assert live.world.engine.closed.is_set()
    writer.close()


async def test_a_second_signal_does_not_wait(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(engine=Scripted(pause_s=600.0), shutdown_timeout_s=600.0)
    _, writer = await live.connect()
    writer.write(STREAM)
    await live.world.engine.started.wait()

    signal.raise_signal(signal.SIGINT)
    await asyncio.sleep(0.15)
    signal.raise_signal(signal.SIGINT)

    async with asyncio.timeout(5):
        await live.stopped()
    assert live.world.engine.closed.is_set()
    writer.close()


async def test_while_draining_the_server_says_so_and_still_answers(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(drain_s=0.5)

    live.server.stop()
    reader, writer = await live.connect()
    writer.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")

    answer = await reader.readuntil(b"}")
    assert answer.startswith(b"HTTP/1.1 503")
    assert answer.endswith(b'{"status":"stopping"}')
    await live.stopped()
    writer.close()


async def test_handlers_of_signals_are_given_back(make_live: Callable[..., Awaitable[Live]]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    live = await make_live()
    assert signal.getsignal(signal.SIGTERM) != before

    await live.stop()

    assert signal.getsignal(signal.SIGTERM) == before


async def test_an_idle_connection_is_kept_for_a_while(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(keep_alive_s=0.2)
    reader, writer = await live.connect()
    for _ in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"}")

    assert await cut(reader) == b""
    writer.close()


# --- slow and endless senders ------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nhost: loc"])
async def test_a_head_that_does_not_come_is_cut(make_live: Callable[..., Awaitable[Live]], sent: bytes) -> None:
    live = await make_live(header_timeout_s=0.2)
    reader, writer = await live.connect()
    writer.write(sent)

    assert await cut(reader) == b""
    writer.close()


async def test_a_head_that_dribbles_is_cut_also_on_a_used_connection(
    make_live: Callable[..., Awaitable[Live]],
) -> None:
    live = await make_live(header_timeout_s=0.3)
    reader, writer = await live.connect()
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"}")

    async def dribble() -> None:
        for byte in b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 1000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    dribbling = asyncio.create_task(dribble())
    assert await cut(reader) == b""
    dribbling.cancel()
    writer.close()


async def test_an_endless_head_is_cut(live: Live) -> None:
    reader, writer = await live.connect()
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    for number in range(3000):
        writer.write(b"x-%d: %b\r\n" % (number, b"y" * 50))

    assert await cut(reader) == b""
    writer.close()


async def test_a_body_that_does_not_come_is_refused(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(body_timeout_s=0.2)
    reader, writer = await live.connect()
    writer.write(request_bytes(SEARCH, b'{"query": "x"}')[:-5])

    answer = await cut(reader)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"request_timeout"' in answer
    writer.close()


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(
    make_live: Callable[..., Awaitable[Live]],
) -> None:
    live = await make_live(max_body_bytes=100)
    reader, writer = await live.connect()
    head = f"POST {SEARCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 101\r\n"
    writer.write(f"{head}expect: 100-continue\r\n\r\n".encode())

    answer = await cut(reader)

    assert answer.startswith(b"HTTP/1.1 413")
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: local\x00host\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_and_the_server_goes_on(live: Live, sent: bytes) -> None:
    reader, writer = await live.connect()
    writer.write(sent)
    writer.write_eof()

    answer = await cut(reader)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    writer.close()

    reader, writer = await live.connect()
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
    writer.close()
