"""A real nginx in front of a server, with the configuration that the guide gives."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / "docs" / "how-to" / "nginx.conf"


def need(program: str) -> str:
    """The program's path. Skips the test where it is missing, except in CI, where it must not be."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"needs {program}")
    return found


@asynccontextmanager
async def nginx(folder: Path, *, upstream_port: int) -> AsyncIterator[int]:
    """Its port."""
    program = need("nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = CONFIG.read_text(encoding="utf-8")
    assert "127.0.0.1:8000" in text
    assert "127.0.0.1:8080" in text
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{upstream_port}").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    paths = "".join(
        f"    {name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = text.replace("http {\n", f"http {{\n    access_log off;\n{paths}")
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    more = f"daemon off; pid {folder}/pid; error_log {folder}/errors;"
    if os.geteuid() == 0:
        more += " user root;"
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", more, "-e", str(folder / "errors")
    )
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None, (folder / "errors").read_text()
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
