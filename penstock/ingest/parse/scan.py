"""Pages of a PDF that are pictures of text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import pypdfium2 as pdfium
import pypdfium2.raw as c

from penstock.ingest.parse.layout import Line, Table, arrange
from penstock.ingest.parse.ocr import RESOLUTION_DPI, Bitmap, Ocr, fitting_scale

MAX_PICTURE_PIXELS = 100_000_000
"""Pdfium unpacks a picture whole to draw it: a larger one would take the process, and all other pages, with it."""
MAX_PICTURES = 1_000
POINTS_PER_INCH = 72


def read_scans(pdf: pdfium.PdfDocument, pages: list[list[Line | Table]], scanned: Sequence[int], ocr: Ocr) -> list[str]:
    """Put what is recognised on the scanned pages into `pages`; what was left out and why.

    Of a file that has text beside its scans as many are read as may be; one of scans only is read whole or not at all.
    Raises BadDocument.
    """
    pictures = set(scanned)
    if any(items for number, items in enumerate(pages) if number not in pictures):
        taken = ocr.take(len(scanned))
    else:
        ocr.require(len(scanned))
        taken = len(scanned)
    skipped: list[str] = []
    for number in scanned[:taken]:
        page = pdf[number]
        try:
            if _has_huge_picture(page):
                skipped.append(f"page {number + 1} (too_large)")
            else:
                pages[number] = arrange(ocr.words(partial(_bitmap, page)), number + 1) or pages[number]
        finally:
            page.close()
    if left_out := scanned[taken:]:
        skipped.append(f"scanned pages from page {left_out[0] + 1} on (too_large)")
    return skipped


def _has_huge_picture(page: pdfium.PdfPage) -> bool:
    """As the file declares it: nothing is unpacked to find out."""
    pictures = page.get_objects(filter=(c.FPDF_PAGEOBJ_IMAGE,), max_depth=5)
    for picture in itertools.islice(pictures, MAX_PICTURES):
        width, height = picture.get_px_size()
        if width * height > MAX_PICTURE_PIXELS:
            return True
    return False


def _bitmap(page: pdfium.PdfPage) -> Bitmap:
    width, height = page.get_size()
    scale = fitting_scale(width, height, RESOLUTION_DPI / POINTS_PER_INCH)
    drawn = page.render(scale=scale, grayscale=True)
    try:
        return Bitmap(
            pixels=bytes(drawn.buffer),
            width=drawn.width,
            height=drawn.height,
            stride_bytes=drawn.stride,
            points_per_pixel=1 / scale,
        )
    finally:
        drawn.close()
