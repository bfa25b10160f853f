"""A real Redis of this test's own: a free port on loopback, nothing on disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import RateLimiter
from penstock.flow.ratelimit.redis import RedisLimiter
from tests.flow.callers import HandClock


class RedisServer:
    """Can be started and killed again and again on one port."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b"Ready to accept" in line:
                return
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="session")
def redis_binary() -> None:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is missing: run scripts/install-test-tools")
        pytest.skip("redis-server is missing: scripts/install-test-tools installs it")


@pytest.fixture(scope="session")
def shared_redis(redis_binary: None) -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_redis(redis_binary: None) -> Iterator[RedisServer]:
    """One that a test may kill."""
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest_asyncio.fixture(params=["local", "redis"])
async def limiter(request: pytest.FixtureRequest, clock: HandClock) -> AsyncIterator[RateLimiter]:
    if request.param == "local":
        yield LocalLimiter(clock=clock)
        return
    server: RedisServer = request.getfixturevalue("shared_redis")
    shared = RedisLimiter(url=server.url, prefix=f"{request.node.name}:", timeout_s=5.0, clock=clock)
    yield shared
    await shared.stop()
    await asyncio.sleep(0)
