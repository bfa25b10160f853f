"""Check 22: hostile files. Each ends with a reason or harmlessly, within time and memory, and touches nothing; the next
file is read as if nothing had been.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.errors import BadDocument
from penstock.ingest.parser import ParseLimits, Parser
from tests.ingest.sandbox.hostile import FINE, cases

SECRET_WORDS = "words of a file that nobody may read"
GOOD = b"# Good\n\nA file as it should be."
WALL_S, MEMORY_BYTES = 30.0, 512 * 1024 * 1024


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text(SECRET_WORDS)
    file.chmod(0o644)
    return file


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def times(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


async def test_hostile_files(secret: Path, canary: socket.socket, tmp_path: Path):
    parser = Parser(limits=ParseLimits(), workers=1)
    before = times(tmp_path)
    failures: list[str] = []
    count = 0
    try:
        for name, make, reasons in cases(secret=str(secret), port=canary.getsockname()[1]):
            content = make()
            count += 1
            start = time.monotonic()
            ended, text = await _read(parser, content, name)
            took = time.monotonic() - start
            print(f"{name:22} {len(content):>9} bytes {took * 1000:7.0f} ms  {ended}")
            if ended not in reasons:
                failures.append(f"{name}: {ended}, not {sorted(reasons)}: {text[:200]}")
            if took > WALL_S or SECRET_WORDS in text:
                failures.append(f"{name}: took {took:.1f} s, or told a secret")
            good, _ = await _read(parser, GOOD, "good.html")
            assert good == FINE, f"after {name}"
    finally:
        peak_bytes = parser.peak_bytes
        await parser.stop()
    assert not failures, "\n".join(failures)
    assert count >= 40
    with pytest.raises(BlockingIOError):
        canary.accept()
    assert times(tmp_path) == before
    assert peak_bytes <= MEMORY_BYTES


async def _read(parser: Parser, content: bytes, name: str) -> tuple[str, str]:
    try:
        document = await parser.parse(content, filename=name)
    except BadDocument as error:
        return error.reason, error.message
    return FINE, " ".join(block.text for block in document.blocks)[:10_000]


async def test_a_hostile_file_does_not_slow_its_neighbours_down():
    parser = Parser(limits=ParseLimits(wall_s=3.0), workers=2)
    deep = b"<html><body>" + b"<b><i>" * 30_000 + b"words"
    try:
        await parser.parse(GOOD, filename="warm.html")
        hostile = asyncio.create_task(_read(parser, deep, "deep.html"))
        for _ in range(5):
            good, _ = await _read(parser, GOOD, "good.html")
            assert good == FINE
        assert (await hostile)[0] in {FINE, "timeout", "memory", "corrupt"}
    finally:
        await parser.stop()
