"""Recognising text in a process that can open nothing: the same words as outside, and limits of its own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from penstock.config import IngestSettings
from penstock.core.errors import BadDocument
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import Ocr
from penstock.ingest.parser import Parser, parser_of
from tests.ingest import makers
from tests.ingest.makers import pdf_lines
from tests.ingest.reading import read, text_of
from tests.ingest.sandbox.test_parser import SLOW_PAGE, reason_of
from tests.ingest.scans import (
    drawn,
    drawn_image,
    picture,
    same_picture_pdf,
    saved,
    scanned_pdf,
    wanted_language_data,
)

WORDS = pdf_lines(["The gate holds forty-two bar."])
FULL = drawn(pdf_lines(["The quick brown fox jumps over the lazy dog, and then over the fence."] * 50))
GOOD = scanned_pdf([drawn(WORDS)])


@pytest.fixture(autouse=True)
def _tesseract() -> None:
    wanted_language_data()


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Parser]]:
    made: list[Parser] = []

    def parser(**settings: object) -> Parser:
        made.append(parser_of(IngestSettings(ocr="scans", parse_workers=1, **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield parser
    for each in made:
        await each.stop()


def samples() -> Iterator[tuple[str, bytes]]:
    yield "scan.pdf", scanned_pdf([drawn(pdf_lines([f"This is scanned page {word}."])) for word in ("one", "two")])
    yield "mixed.pdf", scanned_pdf([pdf_lines(["A page of text."]), drawn(WORDS), pdf_lines(["More text."])])
    for name in ("PNG", "JPEG", "TIFF", "WEBP", "BMP"):
        yield f"a.{name.lower()}", picture(WORDS, name, mode="RGB")
    fax = [drawn_image(pdf_lines([f"This is fax page {word}."])).convert("1") for word in ("one", "two")]
    yield "fax.tif", saved(fax[0], "TIFF", save_all=True, append_images=fax[1:], compression="group4")
    yield "photo.jpg", picture(WORDS, "JPEG", mode="CMYK", progressive=True)
    yield "archive.zip", makers.zipped({"a.png": picture(WORDS), "b.txt": "words"})


async def test_scans_read_in_the_sandbox_as_outside(make: Callable[..., Parser]):
    from penstock.ingest.parse.tesseract import Tesseract

    engine, parser, limits = Tesseract(wanted_language_data()), make(), ParseLimits(ocr_wall_s=60.0)
    for name, content in samples():
        outside = read(content, name, limits, Ocr(recognizer=engine, limits=limits))
        assert await parser.parse(content, filename=name) == outside, name
        assert "page two" in text_of(outside) or "forty-two bar" in text_of(outside), name


async def test_off_by_default():
    parser = parser_of(IngestSettings())
    try:
        with pytest.raises(BadDocument, match=r"ingest\.ocr") as failure:
            await parser.parse(GOOD, filename="a.pdf")
        assert failure.value.reason == "no_text"
    finally:
        await parser.stop()


async def test_recognising_has_time_of_its_own(make: Callable[..., Parser]):
    parser = make(parse_timeout_s=0.5)
    start_s = time.monotonic()
    # Each page is another, or its lines were running heads.
    pages = [drawn(pdf_lines([f"Page {n}: the quick brown fox jumps over the lazy dog."] * 50)) for n in "abcde"]
    document = await parser.parse(scanned_pdf(pages), filename="a.pdf")
    assert {block.page for block in document.blocks} == {1, 2, 3, 4, 5}
    assert time.monotonic() - start_s > 1, "shorter than text may take: this test says nothing"
    start_s = time.monotonic()
    assert await reason_of(parser, SLOW_PAGE, "slow.html") == "timeout"
    assert time.monotonic() - start_s < 5, "text has no more time than before"


async def test_too_slow_is_a_timeout_and_hurts_no_neighbour(make: Callable[..., Parser]):
    from PIL import Image

    parser = make(parse_timeout_s=1.0, ocr_wall_s=0.5)
    assert await reason_of(parser, scanned_pdf([FULL]), "a.pdf") == "timeout"
    # Speckles over 20 million pixels: Tesseract looks at its clock only when it has found the lines.
    speckles = Image.effect_noise((5_000, 4_000), 255).point(lambda value: 255 * (value > 128))
    start_s = time.monotonic()
    assert await reason_of(parser, saved(speckles, "PNG"), "a.png") == "timeout"
    assert time.monotonic() - start_s < 10
    assert text_of(await parser.parse(GOOD, filename="a.pdf")) == "The gate holds forty-two bar."


def hostile() -> Iterator[tuple[str, bytes, str]]:
    from PIL import Image

    white = Image.new("L", (13_000, 13_000), 255)
    yield "bomb.png", saved(Image.new("1", (50_000, 50_000)), "PNG"), "too_large"
    yield "colours.png", saved(Image.new("RGBA", (7_000, 7_000)), "PNG"), "memory"
    yield "grey.png", saved(white, "PNG"), "no_text"
    yield "grey.jpg", saved(white, "JPEG"), "no_text"
    yield "cut.png", picture(WORDS)[:2_000], "corrupt"
    yield "head.jpg", b"\xff\xd8\xff\xe0" + bytes(range(256)) * 10, "corrupt"
    yield "pages.pdf", same_picture_pdf(10_000), "too_large"
    yield "picture.pdf", same_picture_pdf(1, width=50_000, height=50_000), "no_text"
    yield (
        "pictures.zip",
        makers.zipped({f"{n}.png": saved(Image.new("L", (9, 9)), "PNG") for n in range(999)}),
        "no_text",
    )


async def test_hostile_pictures(make: Callable[..., Parser]):
    parser = make()
    for name, content, reason in hostile():
        start_s = time.monotonic()
        assert await reason_of(parser, content, name) == reason, name
        assert time.monotonic() - start_s < 30, name
        assert text_of(await parser.parse(GOOD, filename="a.pdf")) == "The gate holds forty-two bar.", name
    assert parser.peak_bytes <= 512 * 1024 * 1024
