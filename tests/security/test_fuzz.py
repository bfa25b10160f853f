"""Inputs nobody thought of, made from our own description: nothing may break it, and it must be the truth.

`PENSTOCK_FUZZ_CASES=50000` asks more often.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from penstock.gateway.serve import bind, make_server
from tests.security.guarded import Guarded

WANTED = int(os.environ.get("PENSTOCK_FUZZ_CASES", "5000"))
SEED = int(os.environ.get("PENSTOCK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
SLOWEST_S = 2.0

pytestmark = pytest.mark.timeout(max(300, WANTED // 10))


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The gateway's address, and the key of somebody who may do everything."""
    guarded = Guarded(folder=tmp_path)
    await guarded.start()
    sock = bind(host="127.0.0.1", port=0)
    server = make_server(app=guarded.world.app, settings=guarded.world.settings.server, readiness=guarded.world.readiness)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    await server.listening.wait()
    token = guarded.tokens["owner"]
    assert token is not None
    yield f"http://127.0.0.1:{sock.getsockname()[1]}", token
    server.stop()
    await serving
    await guarded.stop()


async def fuzzed(url: str, token: str, folder: Path, *, examples: int) -> dict[str, Any]:
    """What came of so many examples an operation."""
    report = folder / "report.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", "all", "--max-response-time", str(SLOWEST_S), "--continue-on-failure"),
        *("--max-examples", str(examples), "--seed", str(SEED), "--no-color"),
        *("--report", "json", "--report-json-path", str(report)),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert report.exists(), output.decode()
    print(output.decode()[-20_000:])
    return json.loads(report.read_bytes())


async def test_the_description_is_true_and_nothing_breaks_it(server: tuple[str, str], tmp_path: Path) -> None:
    print(f"seed {SEED}")

    report = await fuzzed(*server, tmp_path, examples=20)

    Path("/tmp/iso-report.json").write_text(json.dumps(report, indent=1))
