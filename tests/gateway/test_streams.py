"""Streams over real connections: silence, readers who do not read, peers that vanish, a server that stops."""

from __future__ import annotations

import asyncio
import ctypes
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.core.errors import StageUnavailable
from penstock.gateway.presence import Presence
from penstock.gateway.reply import Events
from penstock.gateway.streams import HEARTBEAT, Streams
from tests.gateway.world import Live, Scripted, request_bytes

SO_ATTACH_FILTER = 26
MakeLive = Callable[..., Awaitable[Live]]


def chat(**more: Any) -> bytes:
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "How long?"}], **more}
    return request_bytes("/v1/chat/completions", json.dumps(body).encode())


async def soon(awaitable: Awaitable[Any], within_s: float = 10.0) -> Any:
    async with asyncio.timeout(within_s):
        return await awaitable


async def test_silence_is_filled_with_comments_also_before_the_first_word(make_live: MakeLive) -> None:
    live = await make_live(engine=Scripted(words=["word"] * 2, pause_s=0.5), heartbeat_s=0.1)
    reader, writer = await live.connect()
    writer.write(chat())

    answer = await soon(reader.readuntil(b"0\r\n\r\n"))

    before, between, after = answer.split(b'"content":"word"')
    assert before.startswith(b"HTTP/1.1 200")
    assert 2 <= before.count(HEARTBEAT) <= 6
    assert 2 <= between.count(HEARTBEAT) <= 6
    assert after.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    writer.close()


async def test_a_stream_that_speaks_needs_no_comments(make_live: MakeLive) -> None:
    live = await make_live(engine=Scripted(words=["word"] * 30, pause_s=0.02), heartbeat_s=0.3)
    reader, writer = await live.connect()
    writer.write(chat())

    assert HEARTBEAT not in await soon(reader.readuntil(b"0\r\n\r\n"))
    writer.close()


async def test_an_error_after_a_comment_is_an_event_that_says_when_to_come_back(make_live: MakeLive) -> None:
    failing = Scripted(words=[""], pause_s=0.3, fails=StageUnavailable("generate", "gone"))
    live = await make_live(engine=failing, heartbeat_s=0.1)
    reader, writer = await live.connect()
    writer.write(chat())

    answer = await soon(reader.readuntil(b"0\r\n\r\n"))

    assert answer.startswith(b"HTTP/1.1 200")
    assert b'retry: 1000\nevent: error\ndata: {"error":' in answer
    assert b'"code":"stage_unavailable"' in answer
    assert b"[DONE]" not in answer
    writer.close()


async def test_a_reader_who_does_not_read_holds_little_and_is_cut(make_live: MakeLive) -> None:
    word = "x" * 10_000
    live = await make_live(engine=Scripted(words=[word] * 2000, pause_s=0.0005), reader_timeout_s=0.5)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", live.port))
    await loop.sock_sendall(raw, chat(timeout=60))

    await soon(live.world.engine.closed.wait())

    # What was written and not read: in our memory, in the kernel's, and in the reader's own buffer.
    assert live.world.engine.spoken * len(word) < 1024 * 1024
    raw.close()


async def test_a_reader_who_reads_slowly_is_not_cut(make_live: MakeLive) -> None:
    live = await make_live(engine=Scripted(words=["x" * 10_000] * 100, pause_s=0.0), reader_timeout_s=0.5)
    reader, writer = await live.connect()
    writer.write(chat())
    received = 0
    while received < 1_000_000:
        received += len(await soon(reader.read(20_000)))
        await asyncio.sleep(0.01)

    assert live.world.engine.closed.is_set()
    assert live.world.engine.spoken == 100
    writer.close()


def vanish(raw: socket.socket) -> None:
    """From now on this socket's machine might as well be switched off: nothing that comes is seen or acknowledged."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0 bytes of every packet
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


@pytest.mark.parametrize("pause_s", [0.1, 600.0], ids=["speaking", "silent"])
async def test_a_peer_that_vanishes_is_found_out(make_live: MakeLive, pause_s: float) -> None:
    live = await make_live(engine=Scripted(words=["word"] * 1000, pause_s=pause_s), silent_peer_s=2)
    reader, writer = await live.connect()
    writer.write(chat(timeout=60))
    await soon(live.world.engine.started.wait())
    if pause_s < 1:
        await soon(reader.readuntil(b"word"))

    vanish(writer.get_extra_info("socket"))

    await soon(live.world.engine.closed.wait(), within_s=8.0)
    writer.transport.abort()


async def test_stopping_before_the_first_word_is_a_refusal_that_says_when_to_come_back(make_live: MakeLive) -> None:
    live = await make_live(engine=Scripted(pause_s=600.0), shutdown_timeout_s=0.2)
    reader, writer = await live.connect()
    writer.write(chat())
    await soon(live.world.engine.started.wait())

    live.server.stop()

    answer = await soon(reader.read())
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1\r\n" in answer
    assert b'"code":"overloaded"' in answer
    writer.close()


async def test_one_timer_beats_for_all_and_rests_when_they_have_ended() -> None:
    ends = asyncio.Event()
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def chunks():
        await ends.wait()
        yield b"data: x\n\n"

    async def one() -> None:
        async def receive() -> Any:
            await asyncio.Event().wait()

        with Presence(scope={}, receive=receive, timeout_s=60.0) as presence:
            await streams.send(Events(chunks()), send, presence=presence, request_id="req_1")

    streams = Streams(heartbeat_s=0.05)
    running = [asyncio.create_task(one()) for _ in range(250)]
    while sent.count(HEARTBEAT) < 500:
        await asyncio.sleep(0.01)
    ends.set()
    await asyncio.gather(*running)
    beats = sent.count(HEARTBEAT)
    await asyncio.sleep(0.15)

    assert sent.count(HEARTBEAT) == beats
    assert sent.count(b"data: x\n\n") == 250
