"""Check 17: heads, bodies and readers that take their time, by slowhttptest, directly and through nginx.

PENSTOCK_SLOW is how many connections attack. They must be gone soon after the server's patience is, while everybody
else is served.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.gateway.nginx import need, nginx
from tests.gateway.world import Live

CONNECTIONS = int(os.environ.get("PENSTOCK_SLOW", "150"))
PATIENCE_S = 2.0
ATTACKS = {
    "head": ["-H", "-i", "1", "-u", "/healthz"],
    "body": ["-B", "-i", "1", "-s", "100000", "-f", "application/json", "-u", "/v1/vector_stores/rivers/search"],
    "reader": ["-X", "-n", "5", "-w", "1", "-y", "2", "-z", "1", "-k", "3", "-u", "/openapi.json"],
}


@pytest.mark.parametrize("way", ["direct", "nginx"])
@pytest.mark.parametrize("attack", list(ATTACKS))
async def test_slow_connections_are_cut_and_the_others_are_served(
    make_live: Callable[..., Awaitable[Live]], tmp_path: Path, attack: str, way: str
) -> None:
    program = need("slowhttptest")
    live = await make_live(header_timeout_s=PATIENCE_S, body_timeout_s=PATIENCE_S, reader_timeout_s=PATIENCE_S)
    async with AsyncExitStack() as stack:
        port = live.port
        if way == "nginx":
            port = await stack.enter_async_context(nginx(tmp_path, upstream_port=live.port))
        *options, path = ATTACKS[attack]
        seconds = str(int(PATIENCE_S) + 4)
        sizes = ["-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-l", seconds]
        attacking = await asyncio.create_subprocess_exec(
            program, *options, f"http://127.0.0.1:{port}{path}", *sizes, stdout=asyncio.subprocess.DEVNULL
        )
        stack.push_async_callback(_end, attacking)
        connections = live.server.server_state.connections
        most = 0
        answered = 0
        open_s = 0.0
        loop = asyncio.get_running_loop()
        while attacking.returncode is None:
            assert await _is_served(port)
            answered += 1
            most = max(most, len(connections))
            if len(connections) > CONNECTIONS // 4:
                open_s = open_s or loop.time()
            elif open_s and way == "direct" and attack != "reader":
                # A reader of one small answer is cut as idle; who reads a stream slowly is tried in test_streams.py.
                assert loop.time() - open_s < PATIENCE_S + 3.0
            await asyncio.sleep(0.05)
        await attacking.wait()

        assert answered > 20
        if way == "direct":
            assert most > CONNECTIONS // 2
            # Cut by us, while the attackers would have gone on; what is left are our own probes.
            async with asyncio.timeout(5):
                while len(connections) > 2:
                    await asyncio.sleep(0.05)
        elif attack != "reader":
            # nginx keeps slow senders to itself.
            assert most < CONNECTIONS // 4


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _is_served(port: int) -> bool:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    return answer.startswith(b"HTTP/1.1 200")
