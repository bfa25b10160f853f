"""The parser's life: many files, limits, crashes, cancellation, an end without leftovers."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from penstock.config import IngestSettings
from penstock.core.errors import BadDocument
from penstock.ingest.parse.registry import parse
from penstock.ingest.parser import ParseLimits, Parser, parser_of
from tests.ingest import makers

ROOT = Path(__file__).parents[3]
SLOW = b"<div>" * 1900 + b"<p>x" * 240_000
"""Takes seconds: for every paragraph all open elements are looked through."""
SLOW_PAGE = b"<html><body>" + SLOW
WORDS = makers.docx(makers.docx_paragraph("words"))
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    parser = Parser(limits=ParseLimits(), workers=2)
    yield parser
    await parser.stop()


@pytest.fixture
async def impatient() -> AsyncIterator[Parser]:
    parser = Parser(limits=ParseLimits(wall_s=0.3), workers=1)
    yield parser
    await parser.stop()


def children(of: int) -> list[int]:
    """Processes below one, from the kernel's list."""
    direct = [int(number) for number in Path(f"/proc/{of}/task/{of}/children").read_text().split()]
    return direct + [deeper for child in direct for deeper in children(child)]


@pytest.fixture
def started() -> Callable[[], list[int]]:
    """The processes that came since the test began; others in this run have children of their own."""
    strangers = set(children(os.getpid()))
    return lambda: [child for child in children(os.getpid()) if child not in strangers]


def exists(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def ended(processes: list[int]) -> bool:
    """Whether they all end within some seconds."""
    for _ in range(500):
        if not any(exists(process) for process in processes):
            return True
        await asyncio.sleep(0.01)
    return False


async def reason_of(parser: Parser, content: bytes, name: str) -> str:
    with pytest.raises(BadDocument) as failure:
        await parser.parse(content, filename=name)
    return failure.value.reason


async def test_many_files_at_once(parser: Parser):
    texts = [parser.parse(f"# Title {n}\n\nwords".encode(), filename=f"{n}.md") for n in range(40)]
    documents = await asyncio.gather(*texts, *(parser.parse(WORDS, filename="x.docx") for _ in range(10)))
    assert [document.title for document in documents[:40]] == [f"Title {n}" for n in range(40)]
    assert all(document.blocks[0].text == "words" for document in documents[40:])
    assert [document.filename for document in documents[:2]] == ["0.md", "1.md"]


SAMPLES = {
    "a.md": b"# T\n\n- x\n", "a.txt": "Größe".encode("cp1252"), "a.html": b"<html><body><p>x", "a.py": b"x = 1\n",
    "a.csv": b"a;b\n1;2\n", "a.json": b'{"a": [1]}', "a.xml": b"<?xml version='1.0'?><a><b>c</b></a>",
    "a.rtf": rb"{\rtf1\ansicpg1251 \'cf\'f0 x}", "a.docx": WORDS, "a.pptx": makers.pptx([makers.pptx_shape(["x"])]),
    "a.xlsx": makers.xlsx({"S": "<row><c><v>1.5</v></c></row>"}), "a.odt": makers.odf("text", "<text:p>x</text:p>"),
    "a.epub": makers.epub(["<p>x</p>"]), "a.pdf": makers.pdf([makers.pdf_lines(["words", "more words"])]),
    "a.msg": makers.ole(makers.msg(subject="S", body="x")), "a.doc": makers.doc("x\r"), "a.ppt": makers.ppt(["x"]),
    "a.xls": makers.xls([["a", 1.5]]), "a.zip": makers.zipped({"b.txt": "x"}), "a.gz": gzip.compress(b"x"),
    "a.eml": b"From: =?utf-8?q?=C3=84?= <a@example.org>\nSubject: x\nDate: Fri, 23 Dec 2022 12:08:48 -0600\n\nbody\n",
}  # fmt: skip


async def test_every_format_reads_in_the_sandbox_as_outside(parser: Parser):
    for name, content in SAMPLES.items():
        assert await parser.parse(content, filename=name) == parse(content, name, ParseLimits()), name


async def test_limits_have_their_reasons(impatient: Parser):
    assert await reason_of(impatient, SLOW_PAGE, "slow.html") == "timeout"
    small = Parser(limits=ParseLimits(max_file_bytes=10, max_output_chars=100), workers=1)
    try:
        assert await reason_of(small, b"x" * 11, "a.txt") == "too_large"
    finally:
        await small.stop()
    short = Parser(limits=ParseLimits(max_output_chars=100), workers=1)
    try:
        assert await reason_of(short, b"x" * 101, "a.txt") == "too_large"
    finally:
        await short.stop()


async def test_the_settings_make_the_parser():
    settings = IngestSettings(max_file_bytes=1_000_000, parse_timeout_s=0.3, parse_workers=1, isolate_every_file=True)
    parser = parser_of(settings)
    try:
        assert await reason_of(parser, b"x" * 1_000_001, "a.txt") == "too_large"
        assert await reason_of(parser, SLOW_PAGE, "slow.html") == "timeout"
    finally:
        await parser.stop()
    tight = parser_of(IngestSettings(parse_memory_bytes=160 * 1024 * 1024))
    try:
        assert await reason_of(tight, makers.docx(makers.docx_paragraph("x" * 150_000_000)), "a.docx") == "memory"
    finally:
        await tight.stop()


async def test_a_resident_that_fails_leaves_the_verdict_to_a_process_of_its_own(impatient: Parser):
    assert await reason_of(impatient, SLOW, "slow.md") == "timeout"
    assert (await impatient.parse(b"# next", filename="a.md")).title == "next"


async def test_a_resident_gives_back_what_is_not_cheap(parser: Parser):
    assert (await parser.parse(WORDS, filename="really-a-docx.md")).blocks[0].text == "words"


@linux
async def test_tenants_never_share_a_process(parser: Parser, started: Callable[[], list[int]]):
    await parser.parse(b"# a", filename="a.md", tenant="one")
    first = set(started())
    await parser.parse(b"# a", filename="a.md", tenant="one")
    assert set(started()) == first
    await parser.parse(b"# b", filename="b.md", tenant="two")
    assert set(started()) > first


@linux
async def test_every_file_can_be_isolated(started: Callable[[], list[int]]):
    parser = Parser(limits=ParseLimits(), workers=1, isolate_every_file=True)
    try:
        assert (await parser.parse(b"# a", filename="a.md")).title == "a"
        assert len(started()) == 1  # the zygote alone
    finally:
        await parser.stop()


@linux
async def test_cancelling_ends_the_process(started: Callable[[], list[int]]):
    parser = Parser(limits=ParseLimits(), workers=1)
    try:
        await parser.parse(WORDS, filename="x.docx")
        (zygote,) = started()
        task = asyncio.create_task(parser.parse(SLOW_PAGE, filename="slow.html"))
        while not (running := children(zygote)):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ended(running)
        assert (await parser.parse(WORDS, filename="x.docx")).blocks[0].text == "words"
    finally:
        await parser.stop()


@linux
async def test_a_killed_zygote_is_replaced(parser: Parser, started: Callable[[], list[int]]):
    await parser.parse(WORDS, filename="x.docx")
    (zygote,) = started()
    os.kill(zygote, signal.SIGKILL)
    documents = await asyncio.gather(*(parser.parse(WORDS, filename="x.docx") for _ in range(4)))
    assert all(document.blocks[0].text == "words" for document in documents)
    assert started() != [zygote]


@linux
async def test_stopping_leaves_nothing(parser: Parser, started: Callable[[], list[int]]):
    await asyncio.gather(parser.parse(b"# a", filename="a.md"), parser.parse(WORDS, filename="x.docx"))
    before = started()
    assert before
    await parser.stop()
    assert await ended(before)


KILLED = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from penstock.ingest.parse.registry import parse
from penstock.ingest.parser import ParseLimits, Parser, parser_of

async def main():
    parser = Parser(limits=ParseLimits(), workers=2)
    await parser.parse(b"# a", filename="a.md")
    slow = b"<html><body>" + b"<div>" * 1900 + b"<p>x" * 240_000
    asyncio.create_task(parser.parse(slow, filename="a.html"))
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@linux
async def test_a_killed_server_leaves_nothing():
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(ROOT), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    assert await server.stdout.readline() == b"ready\n"
    left = children(server.pid)
    assert len(left) >= 2
    server.kill()
    await server.communicate()
    assert await ended(left)
