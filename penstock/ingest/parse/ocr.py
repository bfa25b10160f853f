"""Pictures of text: what recognises their words, and how much of that one file may have."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from penstock.core.errors import BadDocument
from penstock.ingest.parse.layout import Word
from penstock.ingest.parse.limits import ParseLimits

RESOLUTION_DPI = 300
"""What recognisers are made for."""
MAX_PIXELS = 20_000_000
"""Of one bitmap, one byte each: an A3 page at 300 dpi. Larger pages are drawn coarser."""
MAX_SIDE_PIXELS = 32_000
"""Tesseract counts pixels in 16 bits."""
PAGE_S = 15.0
"""Time that each page adds: ten times what one takes, since reading gives way to everything else."""


class LanguageData(msgspec.Struct, frozen=True, kw_only=True):
    """Which languages, and the folder with what a recogniser knows of them."""

    folder: str
    languages: tuple[str, ...]


class Bitmap(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One page, grey: rows of `stride_bytes` from the top, 0 is black."""

    pixels: bytes
    width: int
    height: int
    stride_bytes: int
    points_per_pixel: float


class Recognizer(Protocol):
    """Finds words in bitmaps, in reading order, with boxes in points."""

    def words(self, page: Bitmap, *, timeout_s: float) -> list[Word]:
        """Raises TimeoutError."""


def fitting_scale(width: float, height: float, scale: float) -> float:
    """As large as `scale`, or so much smaller that the bitmap keeps to its bounds."""
    width, height = max(width, 1.0), max(height, 1.0)
    return min(scale, math.sqrt(MAX_PIXELS / (width * height)), MAX_SIDE_PIXELS / max(width, height))


class Ocr:
    """What one file may have recognised, the files within it included. `begin` is called before the first page."""

    def __init__(
        self,
        *,
        recognizer: Recognizer,
        limits: ParseLimits,
        begin: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pages_left = limits.ocr_max_pages
        self._recognizer = recognizer
        self._limits = limits
        self._begin = begin
        self._clock = clock
        self._has_begun = False
        self._left_s = 0.0
        self._promised_s = 0.0

    def require(self, pages: int) -> None:
        """Take so many pages. Raises BadDocument when there are not so many left."""
        if pages > self.pages_left:
            most = self._limits.ocr_max_pages
            raise BadDocument(
                "too_large", f"It has {pages:,} scanned pages; {most:,} of a file are read (ingest.ocr_max_pages)."
            )
        self.take(pages)

    def take(self, pages: int) -> int:
        """Take so many pages or as many as are left, and the time for them; how many they are."""
        taken = min(pages, self.pages_left)
        self.pages_left -= taken
        more_s = min(PAGE_S * taken, self._limits.ocr_wall_s - self._promised_s)
        self._promised_s += more_s
        self._left_s += more_s
        return taken

    def words(self, draw: Callable[[], Bitmap]) -> list[Word]:
        """The words of a page that was taken. Raises BadDocument (timeout), and what `draw` raises."""
        if not self._has_begun:
            self._has_begun = True
            self._begin()
        if self._left_s <= 0:
            raise self._too_slow()
        began_s = self._clock()
        try:
            return self._recognizer.words(draw(), timeout_s=self._left_s)
        except TimeoutError as error:
            raise self._too_slow() from error
        finally:
            self._left_s -= self._clock() - began_s

    def _too_slow(self) -> BadDocument:
        pages = self._limits.ocr_max_pages - self.pages_left
        return BadDocument(
            "timeout", f"OCR of {pages:,} pages takes more than {self._promised_s:g} s (see ingest.ocr_wall_s)."
        )
