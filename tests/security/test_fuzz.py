"""Inputs nobody thought of, made from our own description: nothing may break, and the description must be true.

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
SEED = int(os.environ.get("PENSTOCK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
SLOWEST_S = float(os.environ.get("PENSTOCK_FUZZ_SLOWEST_S", "20"))
"""The promise is two seconds, on a machine that does nothing else: `make soak` holds it to that."""
HOOKS = Path(__file__).with_name("fuzz_hooks.py")
# What no schema can say - a cursor that is of another list, "either this or that" - is rightly answered with 400.
ACCEPTED = '[checks.positive_data_acceptance]\nexpected-statuses = ["2xx", "400", "401", "403", "404", "409", "413"]\n'
# Their bodies name other resources, so a 404 does not say that the store is missing which the path names. (No check is
# named on the command line, where it would win over this: all are on.)
NAMING_OTHERS = tuple(f"POST /v1/vector_stores/{{vector_store_id}}/{what}" for what in ("files", "file_batches"))
CONFIG = ACCEPTED + "".join(
    f'[[operations]]\ninclude-name = "{name}"\n[operations.checks.ensure_resource_availability]\nenabled = false\n'
    for name in NAMING_OTHERS
)

pytestmark = pytest.mark.timeout(max(600, WANTED // 5))


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The gateway's address, and the key of somebody who may do everything."""
    guarded = Guarded(folder=tmp_path)
    await guarded.start()
    world, sock = guarded.world, bind(host="127.0.0.1", port=0)
    server = make_server(app=world.app, settings=world.settings.server, readiness=world.readiness)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    await server.listening.wait()
    token = guarded.tokens["owner"]
    assert token is not None
    yield f"http://127.0.0.1:{sock.getsockname()[1]}", token
    server.stop()
    await serving
    await guarded.stop()


async def fuzzed(url: str, token: str, folder: Path, *, examples: int, seed: int, phases: str) -> dict[str, Any]:
    """What came of so many examples an operation."""
    report = folder / f"report-{seed}.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--phases", phases),
        *("--max-response-time", str(SLOWEST_S), "--continue-on-failure"),
        *("--max-examples", str(examples), "--seed", str(seed), "--no-color"),
        *("--report", "json", "--report-json-path", str(report)),
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    told: bytes = await asyncio.to_thread(lambda: report.read_bytes() if report.exists() else b"")
    assert told, output.decode(errors="replace")
    result: dict[str, Any] = json.loads(told)
    assert result["complete"], output.decode(errors="replace")
    assert result["failures"] == result["errors"] == [], output.decode(errors="replace")[-20_000:]
    return result


async def test_the_description_is_true_and_nothing_breaks_it(server: tuple[str, str], tmp_path: Path) -> None:
    print(f"seed {SEED}")
    await asyncio.to_thread((tmp_path / "schemathesis.toml").write_text, CONFIG)
    cases, seed, phases = 0, SEED, "examples,coverage,fuzzing,stateful"

    while cases < WANTED:
        report = await fuzzed(*server, tmp_path, examples=max(20, WANTED // 75), seed=seed, phases=phases)
        assert report["operations"]["tested"] == report["operations"]["total"] > 20
        assert report["test_cases"]["generated"] > 100
        cases += report["test_cases"]["generated"]
        seed, phases = seed + 1, "fuzzing,stateful"
