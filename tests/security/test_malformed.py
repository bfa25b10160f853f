"""Bytes that are hardly HTTP: each is refused or cut off, none is a server error, and the server goes on.

`PENSTOCK_MALFORMED=10000` sends more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from tests.gateway.world import Live

WANTED = int(os.environ.get("PENSTOCK_MALFORMED", "1000"))
SEED = int(os.environ.get("PENSTOCK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
AT_ONCE = 32
PATIENCE_S = 5.0

pytestmark = pytest.mark.timeout(max(120, WANTED // 5))


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers])
    return head.encode() + b"\r\n\r\n" + body


JSON = "Content-Type: application/json"
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nSome text.\r\n--b--\r\n'
PIECES = b'1d\r\n{"messages": [{"role": "user"\r\n15\r\n, "content": "Rhine"}]}\r\n0\r\n\r\n'
SEARCH = b'{"query": "long is the Rhine"}'
SEEDS = (
    request("GET", "/v1/models"),
    request("POST", "/v1/vector_stores/rivers/search", JSON, f"Content-Length: {len(SEARCH)}", body=SEARCH),
    request("POST", "/v1/chat/completions", JSON, "Transfer-Encoding: chunked", body=PIECES),
    request(
        "POST",
        "/v1/files",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(FORM)}",
        body=FORM,
    ),
)
INSERTS = (
    b"\x00",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"%00",
    b"%ff%fe",
    b"..%2f..%2fetc%2fpasswd",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999999\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n",
    b"X-Request-Timeout: nan\r\n",
    b"X-Request-Timeout: 1e999\r\n",
    b"Authorization: Bearer \xff\r\n",
    b"Range: bytes=0-0,1-1,2-2\r\n",
    b" folded: header\r\n",
    b"X: " + b"a" * 70_000 + b"\r\n",
    b"ffffffffffffffff\r\n",
    b'"\\ud800"',
    b"[" * 2_000,
    b"1e999",
    b"HTTP/9.9",
)


def mutated(rng: random.Random) -> bytes:
    """A good request with some of its bytes taken out, doubled, changed, or given strange company."""
    mutant = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(mutant) + 1)
        length = rng.choice((1, 2, 4, 16, 64))
        kind = rng.randrange(5)
        if kind == 0:
            del mutant[at : at + length]
        elif kind == 1:
            mutant[at:at] = mutant[at : at + length]
        elif kind == 2:
            mutant[at : at + length] = rng.randbytes(length)
        elif kind == 3:
            mutant[at:at] = rng.choice(INSERTS)
        else:
            line = mutant.find(b"\r\n", at)
            mutant[line + 2 : line + 2] = rng.choice(INSERTS)
        if not mutant:
            break
    return bytes(mutant)


async def sent(live: Live, request: bytes) -> list[int]:
    """The statuses that come back, until the server closes or has nothing more to say."""
    reader, writer = await live.connect()
    try:
        writer.write(request)
        writer.write_eof()  # half closed: nothing more will come, the server need not wait
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
    except (ConnectionError, TimeoutError):
        return []
    finally:
        writer.close()
    return [int(line[9:12]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


async def test_nothing_malformed_breaks_the_server(
    make_live: Callable[..., Awaitable[Live]], caplog: pytest.LogCaptureFixture
) -> None:
    print(f"seed {SEED}")
    caplog.set_level(logging.WARNING)
    live, rng = await make_live(), random.Random(SEED)
    statuses: Counter[int] = Counter()

    for _ in range(0, WANTED, AT_ONCE):
        requests = [mutated(rng) for _ in range(AT_ONCE)]
        for request, seen in zip(requests, await asyncio.gather(*(sent(live, each) for each in requests)), strict=True):
            statuses.update(seen)
            assert all(status < 500 for status in seen), (SEED, request, seen)

    assert statuses[400] > WANTED // 10, statuses
    assert await sent(live, SEEDS[0]) == [200]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
