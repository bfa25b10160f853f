"""Scanned pages and pictures: which are recognised, what one file may have, and what is said of the rest."""

from __future__ import annotations

import struct
import zlib

import pytest

from penstock.core.errors import BadDocument
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import MAX_PIXELS, MAX_SIDE_PIXELS, PAGE_S, Ocr
from tests.ingest import makers
from tests.ingest.makers import pdf, pdf_lines, pdf_text
from tests.ingest.reading import read, text_of
from tests.ingest.scans import (
    FULL_PAGE,
    StandIn,
    drawn,
    drawn_image,
    picture,
    same_picture_pdf,
    saved,
    scanned_pdf,
)

pytest.importorskip("PIL", reason="the extra 'ocr' is not installed")

SCAN = drawn(pdf_lines(["words of a scan"]), dpi=72)
TEXT = pdf_lines(["A page with text of its own."])


def refused(content: bytes, name: str, ocr: Ocr | None) -> BadDocument:
    with pytest.raises(BadDocument) as failure:
        read(content, name, ocr=ocr)
    return failure.value


@pytest.mark.parametrize(("name", "content"), [("a.pdf", scanned_pdf([SCAN])), ("a.jpg", b"\xff\xd8\xff\xe0")])
def test_without_ocr_a_scan_says_how_to_have_it_read(name: str, content: bytes):
    error = refused(content, name, None)
    assert error.reason == "no_text"
    assert 'set ingest.ocr to "scans"' in error.message


def test_only_pages_without_text_are_recognised_and_keep_their_numbers():
    engine = StandIn()
    document = read(scanned_pdf([TEXT, SCAN, SCAN]), "a.pdf", ocr=engine.ocr())
    assert [(block.page, block.text) for block in document.blocks] == [
        (1, "A page with text of its own."),
        (2, "Recognised words."),
        (3, "Recognised words."),
    ]
    assert len(engine.pages) == 2


def test_a_page_number_on_a_picture_is_not_the_text_of_the_page():
    stamped = pdf([FULL_PAGE + "\n" + pdf_text(300, 20, "7")], resources="/XObject << /S0 50000 0 R >>")
    assert text_of(read(stamped, "a.pdf", ocr=StandIn().ocr())) == "Recognised words."


def test_a_page_on_which_nothing_is_recognised_keeps_what_it_had():
    content = scanned_pdf([TEXT, "0 0 200 200 re f\n" + pdf_text(300, 20, "7")])
    assert [block.text for block in read(content, "a.pdf", ocr=StandIn(says="").ocr()).blocks][1:] == ["7"]


def test_a_scan_without_words_has_no_text():
    assert refused(scanned_pdf([SCAN]), "a.pdf", StandIn(says="").ocr()).reason == "no_text"
    assert refused(picture(""), "a.png", StandIn(says="").ocr()).reason == "no_text"


@pytest.mark.parametrize("box", ["0 0 14400 14400", "0 0 14400 3", "0 0 0.1 0.1", "0 0 612 792"])
def test_a_bitmap_is_bounded_whatever_the_page_measures(box: str):
    engine = StandIn()
    pages = b"<< /Type /Pages /Kids [10 0 R] /Count 1 >>"
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 11 0 R >>".encode()
    read(pdf(["0 0 200 200 re f"], extra={2: pages, 10: page}), "a.pdf", ocr=engine.ocr())
    (bitmap,) = engine.pages
    assert len(bitmap.pixels) == bitmap.stride_bytes * bitmap.height
    assert bitmap.width * bitmap.height <= MAX_PIXELS * 1.01
    assert max(bitmap.width, bitmap.height) <= MAX_SIDE_PIXELS + 1
    if box == "0 0 612 792":
        assert (bitmap.width, bitmap.height) in {(2550, 3300), (2550, 3301)}


# --- what one file may have ---------------------------------------------------------


def test_a_file_of_too_many_scanned_pages_is_refused_before_the_first():
    engine = StandIn()
    error = refused(same_picture_pdf(10_000), "a.pdf", engine.ocr(ocr_max_pages=200))
    assert error.reason == "too_large"
    assert "10,000" in error.message
    assert "ingest.ocr_max_pages" in error.message
    assert engine.pages == []


def test_beside_text_as_many_scans_are_read_as_may_be_and_the_rest_is_named():
    engine = StandIn()
    document = read(scanned_pdf([TEXT, SCAN, SCAN, SCAN, TEXT]), "a.pdf", ocr=engine.ocr(ocr_max_pages=1))
    assert [block.page for block in document.blocks] == [1, 2, 5]
    assert document.attributes["skipped"] == "scanned pages from page 3 on (too_large)"


def test_files_in_an_archive_share_the_pages():
    engine = StandIn()
    content = makers.zipped({"1.pdf": scanned_pdf([SCAN, SCAN]), "2.pdf": scanned_pdf([SCAN, SCAN])})
    document = read(content, "a.zip", ocr=engine.ocr(ocr_max_pages=3))
    assert len(engine.pages) == 2
    assert document.attributes["skipped"] == "2.pdf (too_large)"


def test_what_is_left_out_of_a_file_in_an_archive_is_named_beside_what_else_is():
    members = {"a.pdf": scanned_pdf([TEXT, SCAN, SCAN]), "b.bin": bytes(range(256))}
    skipped = str(read(makers.zipped(members), "a.zip", ocr=StandIn().ocr(ocr_max_pages=1)).attributes["skipped"])
    assert skipped == "scanned pages from page 3 on (too_large), b.bin (unsupported)"


def test_a_picture_too_large_to_be_drawn_costs_its_page_only():
    lie = scanned_pdf([SCAN, (40_000, 40_000, b"")])
    document = read(lie, "a.pdf", ocr=StandIn().ocr())
    assert [block.page for block in document.blocks] == [1]
    assert document.attributes["skipped"] == "page 2 (too_large)"


def test_the_time_grows_with_the_pages():
    engine = StandIn(takes_s=1.0)
    read(scanned_pdf([SCAN] * 3), "a.pdf", ocr=engine.ocr())
    assert engine.timeouts_s == [3 * PAGE_S, 3 * PAGE_S - 1, 3 * PAGE_S - 2]


def test_and_has_a_bound():
    engine = StandIn(takes_s=30.0)
    error = refused(scanned_pdf([SCAN] * 10), "a.pdf", engine.ocr(ocr_wall_s=80.0))
    assert error.reason == "timeout"
    assert "80 s" in error.message
    assert engine.timeouts_s == [80.0, 50.0, 20.0]


def test_in_an_archive_time_that_is_up_is_up_for_all():
    engine = StandIn(takes_s=50.0)
    content = makers.zipped({f"{n}.pdf": scanned_pdf([SCAN]) for n in range(9)} | {"a.txt": "words"})
    document = read(content, "a.zip", ocr=engine.ocr(ocr_wall_s=20.0))
    assert sum(engine.timeouts_s) == 20.0
    assert "8.pdf (timeout)" in str(document.attributes["skipped"])


def test_the_longer_time_begins_with_the_first_page_and_only_then():
    begun: list[str] = []
    ocr = Ocr(recognizer=StandIn(), limits=ParseLimits(ocr_wall_s=9.0), begin=lambda: begun.append("begun"))
    read(pdf([TEXT]), "a.pdf", ocr=ocr)
    assert begun == []
    read(scanned_pdf([SCAN, SCAN]), "a.pdf", ocr=ocr)
    assert begun == ["begun"]


# --- pictures -----------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_each_format_becomes_one_page_of_grey(format_name: str, mode: str):
    engine = StandIn()
    content = picture(pdf_text(72, 700, "words", size=60), format_name, mode=mode, dpi=72)
    document = read(content, "a.bin", ocr=engine.ocr())
    assert [(block.page, block.text) for block in document.blocks] == [(0, "Recognised words.")]
    (bitmap,) = engine.pages
    assert (bitmap.width, bitmap.height, bitmap.stride_bytes) == (612, 792, 612)
    assert bitmap.pixels[0] >= 250
    assert min(bitmap.pixels) < 60


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_whatever_the_mode_paper_is_white_and_ink_black(mode: str):
    from PIL import Image

    image = drawn_image(pdf_text(72, 700, "words", size=60), dpi=72)
    if mode == "I;16":
        # Paper at three quarters of white: all that is over 255 of 65,535 must not become white.
        image = Image.frombytes("I;16", image.size, b"".join(bytes((0, value * 3 // 4)) for value in image.tobytes()))
    elif mode in {"LA", "RGBA"}:
        ink = image.point(lambda value: 255 - value)
        image = Image.new(mode, image.size, 0)
        image.putalpha(ink)
    else:
        image = image.convert(mode)
    engine = StandIn()
    read(saved(image, "TIFF"), "a.tif", ocr=engine.ocr())
    (bitmap,) = engine.pages
    assert bitmap.pixels[0] == (191 if mode == "I;16" else 255)
    assert min(bitmap.pixels) < 60


def test_pages_of_a_tiff_are_pages():
    pages = [drawn_image(TEXT, dpi=50).convert("1") for _ in range(3)]
    content = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="group4")
    document = read(content, "a.tif", ocr=StandIn().ocr())
    assert [block.page for block in document.blocks] == [1, 2, 3]


def test_of_an_animation_the_first_picture_is_read():
    from PIL import Image

    frames = [Image.new("L", (50, 50), shade) for shade in (0, 100, 200)]
    engine = StandIn()
    read(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]), "a.webp", ocr=engine.ocr())
    assert len(engine.pages) == 1


def test_a_picture_is_turned_as_it_says():
    from PIL import Image

    image = Image.new("L", (80, 40), 255)
    exif = image.getexif()
    exif[0x0112] = 6
    engine = StandIn()
    read(saved(image, "JPEG", exif=exif), "a.jpg", ocr=engine.ocr())
    assert (engine.pages[0].width, engine.pages[0].height) == (40, 80)


def test_a_large_picture_is_made_smaller():
    from PIL import Image

    engine = StandIn()
    read(saved(Image.new("L", (8_000, 5_000), 255), "PNG"), "a.png", ocr=engine.ocr())
    assert engine.pages[0].width * engine.pages[0].height <= MAX_PIXELS
    assert engine.pages[0].width / engine.pages[0].height == pytest.approx(1.6, rel=0.01)


def png(width: int, height: int) -> bytes:
    """A head and nothing behind it."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"")
    chunks = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (head, body)
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1)])
def test_a_bomb_is_refused_by_its_head(width: int, height: int):
    engine = StandIn()
    assert refused(png(width, height), "a.png", engine.ocr()).reason == "too_large"
    assert engine.pages == []


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_a_damaged_picture_is_corrupt(format_name: str):
    whole = picture(pdf_lines(["words"] * 30), format_name, dpi=72)
    for content in (whole[: len(whole) * 3 // 5], whole[:20] + b"\xfe" * 500):
        assert refused(content, "a.bin", StandIn().ocr()).reason == "corrupt"


def test_a_tiff_of_ten_thousand_pages_is_refused_before_the_first():
    engine = StandIn()
    assert refused(tiff(10_000), "a.tif", engine.ocr()).reason == "too_large"
    assert engine.pages == []


def test_a_tiff_whose_pages_lead_back_to_the_first_has_an_end():
    assert refused(tiff(3, last_leads_to=8), "a.tif", StandIn(says="").ocr()).reason == "no_text"


def tiff(pages: int, *, last_leads_to: int = 0) -> bytes:
    """Pages of one byte, the same one; each page's directory leads to the next."""
    # Width, height, bits, no compression, black is 0, where the pixels are (the 8 bytes at the start), rows, bytes.
    entries = ((256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 0), (278, 1), (279, 1))
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    size = len(body) + 4
    nexts = [8 + size * (page + 1) for page in range(pages - 1)] + [last_leads_to]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(body + struct.pack("<I", place) for place in nexts)


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(50), bytes(4) + b"ftypheic" + bytes(range(50))])
def test_other_pictures_are_named_as_what_they_are(content: bytes):
    error = refused(content, "a.bin", StandIn().ocr())
    assert error.reason == "no_text"
    assert "PNG" in error.message


def test_text_that_begins_like_a_picture_is_text():
    assert text_of(read(b"BMW builds motorcycles too.", "a.txt")) == "BMW builds motorcycles too."
