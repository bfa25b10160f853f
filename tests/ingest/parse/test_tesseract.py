"""Tesseract itself, on pages that are drawn here."""

from __future__ import annotations

import pytest

from penstock.core.errors import BadDocument
from penstock.core.types import Document
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import Ocr, Recognizer
from tests.ingest.makers import pdf_lines, pdf_table, pdf_text
from tests.ingest.reading import read, shown, text_of
from tests.ingest.scans import drawn, drawn_image, picture, saved, scanned_pdf, wanted_language_data

LIMITS = ParseLimits(ocr_wall_s=60.0)


@pytest.fixture(scope="module")
def tesseract() -> Recognizer:
    data = wanted_language_data()
    from penstock.ingest.parse.tesseract import Tesseract

    return Tesseract(data)


def recognised(engine: Recognizer, content: bytes, limits: ParseLimits = LIMITS) -> Document:
    return read(content, "a.bin", limits, Ocr(recognizer=engine, limits=limits))


def test_words_of_a_scan_on_their_pages(tesseract: Recognizer):
    pages = [pdf_lines([f"The {word} valve opens at forty bar."]) for word in ("first", "second", "third")]
    document = recognised(tesseract, scanned_pdf([drawn(page) for page in pages]))
    assert [(block.page, block.text) for block in document.blocks] == [
        (1, "The first valve opens at forty bar."),
        (2, "The second valve opens at forty bar."),
        (3, "The third valve opens at forty bar."),
    ]


def test_headings_paragraphs_and_lists(tesseract: Recognizer):
    content = pdf_text(72, 740, "The big title", size=22)
    content += "\n" + pdf_lines(
        ["One sentence that goes on", "over two lines, as a river", "runs near a sea."], top=700
    )
    content += "\n" + pdf_text(72, 640, "A smaller heading", size=15)
    content += "\n" + pdf_lines(["More words follow it here.", "1. first item", "2. second item"], top=610)
    assert shown(recognised(tesseract, scanned_pdf([drawn(content)]))) == [
        ("heading1", "The big title"),
        ("paragraph", "One sentence that goes on over two lines, as a river runs near a sea."),
        ("heading2", "A smaller heading"),
        ("paragraph", "More words follow it here."),
        ("list", "1. first item\n2. second item"),
    ]


def test_columns_one_after_the_other_and_tables_as_rows(tesseract: Recognizer):
    left = [pdf_text(60, 700 - 14 * n, f"left column line {n} with several words in it") for n in range(8)]
    right = [pdf_text(330, 700 - 14 * n, f"right column line {n} with several words too") for n in range(8)]
    text = text_of(recognised(tesseract, scanned_pdf([drawn("\n".join(left + right))])))
    assert text.index("left column line 7") < text.index("right column line 0")
    cells, table = pdf_table()
    assert shown(recognised(tesseract, scanned_pdf([drawn(cells)]))) == [("table", table)]


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_a_picture(tesseract: Recognizer, format_name: str):
    content = picture(
        pdf_lines(["Words in a picture, at", "the resolution of a screen."]), format_name, mode="RGB", dpi=110
    )
    text = text_of(recognised(tesseract, content))
    assert text == "Words in a picture, at the resolution of a screen."


def test_lines_of_one_size_are_one_paragraph_whatever_their_letters(tesseract: Recognizer):
    lines = [
        "The first line has tall letters and tails, by",
        "now a van can run on as we can see no",
        "one, and 4711 or 0815 were NEVER SEEN AGAIN",
        "xerox on a mouse, a sea, a raven or an acre",
        "Philip enjoys jumping by quiet pygmy ponds.",
    ]
    document = recognised(tesseract, picture(pdf_lines(lines), dpi=150))
    assert shown(document) == [("paragraph", " ".join(lines))]


def test_upright_lines_beside_others_are_left_out(tesseract: Recognizer):
    lines = ["The gate holds forty-two bar, and is opened by hand."] * 6
    page = drawn_image(pdf_lines(lines, x=150))
    label = drawn_image(pdf_lines(["A label along the margin of the page"])).crop((280, 200, 1200, 330))
    page.paste(label.rotate(90, expand=True), (150, 200))
    assert text_of(recognised(tesseract, saved(page, "PNG"))) == " ".join(lines)


def test_a_crooked_scan(tesseract: Recognizer):
    lines = [f"Line {n} of a page that lay crooked on the glass." for n in range(1, 9)]
    crooked = drawn_image(pdf_lines(lines)).rotate(1.5, fillcolor=255)
    assert text_of(recognised(tesseract, saved(crooked, "PNG"))) == " ".join(lines)


def test_a_picture_without_words_has_no_text(tesseract: Recognizer):
    from PIL import Image

    for image in (Image.effect_noise((800, 800), 90), Image.linear_gradient("L"), Image.new("L", (1, 1), 255)):
        with pytest.raises(BadDocument) as failure:
            recognised(tesseract, saved(image, "PNG"))
        assert failure.value.reason == "no_text"


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_page_that_lies_on_its_side_or_on_its_head(tesseract: Recognizer, angle: int):
    lines = [f"Line {n} of a page that was put in the wrong way round." for n in range(1, 9)]
    turned = drawn_image(pdf_lines(lines)).rotate(angle, expand=True)
    assert text_of(recognised(tesseract, saved(turned, "PNG"))) == " ".join(lines)


def test_a_page_that_takes_too_long_is_given_up(tesseract: Recognizer):
    dense = drawn(pdf_lines(["The quick brown fox jumps over the lazy dog, and then over the fence."] * 50))
    limits = ParseLimits(ocr_wall_s=0.05)
    with pytest.raises(BadDocument) as failure:
        recognised(tesseract, scanned_pdf([dense]), limits)
    assert failure.value.reason == "timeout"
    # And the next file finds the engine as it was.
    assert text_of(recognised(tesseract, scanned_pdf([drawn(pdf_lines(["Still well."]))]))) == "Still well."
