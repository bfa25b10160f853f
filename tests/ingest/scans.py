"""Pictures of text, drawn here, and what recognises them: Tesseract, or a stand-in that says what it was given."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Sequence
from typing import Any

import pypdfium2 as pdfium
import pytest

from penstock.config import IngestSettings
from penstock.core.errors import BadSetting
from penstock.ingest.language_data import find_language_data
from penstock.ingest.parse.layout import Word
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import Bitmap, LanguageData, Ocr
from tests.ingest.makers import pdf

FIRST_PICTURE = 50_000
"""Its object number: beyond those of pages."""
SHOWN = "q 612 0 0 792 0 0 cm /S{number} Do Q"
FULL_PAGE = "q 612 0 0 792 0 0 cm /S0 Do Q"


def drawn(content: str, *, dpi: int = 300) -> tuple[int, int, bytes]:
    """A page as grey pixels: width, height, bytes."""
    page = pdfium.PdfDocument(pdf([content]))[0]
    bitmap = page.render(scale=dpi / 72, grayscale=True)
    assert bitmap.stride == bitmap.width
    return bitmap.width, bitmap.height, bytes(bitmap.buffer)


def picture(content: str, format_name: str = "PNG", *, mode: str = "L", dpi: int = 300, **options: Any) -> bytes:
    """A page as a file of Pillow's format."""
    image = drawn_image(content, dpi=dpi).convert(mode)
    return saved(image, format_name, **options)


def drawn_image(content: str, *, dpi: int = 300) -> Any:
    from PIL import Image

    width, height, pixels = drawn(content, dpi=dpi)
    return Image.frombytes("L", (width, height), pixels)


def saved(image: Any, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def pdf_picture(width: int, height: int, pixels: bytes) -> bytes:
    """A PDF's picture, as an object. What it declares may be a lie."""
    packed = zlib.compress(pixels, 1)
    return (
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 "
        b"/Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (width, height, len(packed), packed)
    )


def scanned_pdf(pages: Sequence[str | tuple[int, int, bytes]]) -> bytes:
    """Pages that are text where `pages` has text, and pictures where it has pixels."""
    contents: list[str] = []
    pictures: dict[int, bytes] = {}
    for number, page in enumerate(pages):
        if isinstance(page, str):
            contents.append(page)
        else:
            contents.append(SHOWN.format(number=number))
            pictures[FIRST_PICTURE + number] = pdf_picture(*page)
    named = " ".join(f"/S{number - FIRST_PICTURE} {number} 0 R" for number in pictures)
    return pdf(contents, resources=f"/XObject << {named} >>", extra=pictures)


def same_picture_pdf(pages: int, *, width: int = 100, height: int = 100) -> bytes:
    """Many pages, all the same picture."""
    white = pdf_picture(width, height, b"\xff" * 10_000)
    return pdf([FULL_PAGE] * pages, resources=f"/XObject << /S0 {FIRST_PICTURE} 0 R >>", extra={FIRST_PICTURE: white})


class StandIn:
    """Implements `ocr.Recognizer`: says its words on every page, and keeps what it was given."""

    def __init__(self, *, says: str = "Recognised words.", takes_s: float = 0.0) -> None:
        self.pages: list[Bitmap] = []
        self.timeouts_s: list[float] = []
        self.now_s = 0.0
        self._says = says
        self._takes_s = takes_s

    def clock(self) -> float:
        return self.now_s

    def words(self, page: Bitmap, *, timeout_s: float) -> list[Word]:
        self.pages.append(page)
        self.timeouts_s.append(timeout_s)
        self.now_s += min(self._takes_s, timeout_s)
        if self._takes_s > timeout_s:
            raise TimeoutError
        return [
            Word(text=word, x0=72 + 100 * place, x1=160 + 100 * place, top=100, bottom=112, line=1)
            for place, word in enumerate(self._says.split())
        ]

    def ocr(self, **limits: Any) -> Ocr:
        return Ocr(recognizer=self, limits=ParseLimits(**{"ocr_wall_s": 600.0, **limits}), clock=self.clock)


def wanted_language_data() -> LanguageData:
    """English. Without it or without Tesseract the test is skipped, or fails on CI."""
    try:
        found = find_language_data(IngestSettings(ocr="scans"))
    except BadSetting as error:
        message = f"{error.message} Or: scripts/install-test-tools"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    assert found is not None
    return found
