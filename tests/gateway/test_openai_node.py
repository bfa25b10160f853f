"""OpenAI's SDK for Node on the main path: installed once, into pytest's cache; skipped without npm or a registry."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.gateway.world import Live

VERSION = "6.49.0"
SCRIPT = Path(__file__).with_name("openai_node.mjs")


@pytest.fixture(scope="session")
def sdk(request: pytest.FixtureRequest) -> Path:
    """A folder with the SDK."""
    cache = request.config.cache
    assert cache is not None
    folder = Path(cache.mkdir("openai-node"))
    if not (folder / VERSION).exists():
        try:
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"openai@{VERSION}"]
            subprocess.run(command, check=True, capture_output=True, timeout=90)
        except (OSError, subprocess.SubprocessError) as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"the SDK for Node cannot be installed: {error}")
        (folder / VERSION).touch()
    return folder


async def test_the_main_path(sdk: Path, live: Live) -> None:
    script = Path(shutil.copy(SCRIPT, sdk))
    process = await asyncio.create_subprocess_exec(
        "node",
        str(script),
        env={**os.environ, "BASE_URL": f"{live.url}/v1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)

    assert "penstock is a pipe" in seen["chat"]
    assert seen["streamed"] == seen["chat"]
    assert seen["response"] == seen["kept"] == seen["chat"]
    assert seen["events"] == ["response.created", "response.completed"]
    assert seen["error"] == [400, "unsupported_parameter", "n"]
    rest = {name: seen[name] for name in ("upload", "attached", "hit", "items", "embedding", "final", "deleted")}
    assert rest == {
        "upload": "completed",
        "attached": "completed",
        "hit": "penstock.txt",
        "items": "What is a penstock?",
        "embedding": 64,
        "final": True,
        "deleted": True,
    }
    assert set(seen["stores"]) == {"hydro", "rivers"}
    assert seen["models"] == ["penstock-extractive", "scripted"]
