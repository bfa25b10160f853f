"""Tesseract, in this process. It reads its language data when it is made; after that it opens no file, and no thread
at all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import tesserocr
from tesserocr import OEM, PSM, RIL

from penstock.ingest.parse.layout import Word
from penstock.ingest.parse.ocr import RESOLUTION_DPI, Bitmap, LanguageData

MIN_CONFIDENCE = 30.0
"""Of 100. Below it lies what is seen in stains."""
GOOD_SENSE = 80.0
"""Half of the letters of an upright page are read with more confidence than this, even of a bad copy."""
ASCENT, DESCENT = 1.75, 0.4
"""From the baseline to where a font's box begins and ends, in heights of an x: the boxes that PDFs give."""


class _Seen(msgspec.Struct, gc=False):
    """A word in pixels. `x_height` is that of its line: a row's own height says more of which letters are in it."""

    text: str
    left: float
    right: float
    baseline: float
    x_height: float
    line: int
    confidence: float


class Tesseract:
    """Implements `ocr.Recognizer`. Raises RuntimeError when the language data cannot be read."""

    def __init__(self, data: LanguageData) -> None:
        self._api = tesserocr.PyTessBaseAPI(
            path=data.folder, lang="+".join(data.languages), oem=OEM.LSTM_ONLY, psm=PSM.AUTO
        )

    def words(self, page: Bitmap, *, timeout_s: float) -> list[Word]:
        """Raises TimeoutError. A page that makes little sense is looked at from its other sides, too."""
        ends_s = time.monotonic() + timeout_s
        best = self._seen(page, timeout_s)
        for quarter_turns in (2, 1, 3) if _sense(best) < GOOD_SENSE else ():
            found = self._seen(_turned(page, quarter_turns), ends_s - time.monotonic())
            best = max(best, found, key=_sense)
            if _sense(best) >= GOOD_SENSE:
                break
        return _placed(best, page.points_per_pixel)

    def _seen(self, page: Bitmap, timeout_s: float) -> list[_Seen]:
        """Raises TimeoutError."""
        ends_s = time.monotonic() + timeout_s
        # Pixels only: the decoders of pictures that come with this library are old, and are never reached.
        self._api.SetImageBytes(page.pixels, page.width, page.height, 1, page.stride_bytes)
        self._api.SetSourceResolution(RESOLUTION_DPI)
        try:
            if not self._api.Recognize(max(1, int(timeout_s * 1000))):
                if time.monotonic() >= ends_s:
                    raise TimeoutError
                return []
            return list(_seen(self._api.GetIterator()))
        finally:
            self._api.Clear()


def _seen(found: tesserocr.PyResultIterator | None) -> Iterator[_Seen]:
    if found is None:
        return
    line, x_height = 0, 0.0
    for word in tesserocr.iterate_level(found, RIL.WORD):
        if word.Empty(RIL.WORD):
            continue
        if word.IsAtBeginningOf(RIL.TEXTLINE):
            line += 1
            row = word.RowAttributes()
            x_height = row["row_height"] + row["descenders"] - row["ascenders"]
        text = word.GetUTF8Text(RIL.WORD).strip()
        box, baseline = word.BoundingBox(RIL.WORD), word.Baseline(RIL.WORD)
        if text and box and baseline and x_height > 0:
            (left, start), (right, end) = baseline
            # Tesseract reads lines that stand upright, too; where they are on the page means something else then.
            confidence = 0.0 if abs(end - start) > abs(right - left) else word.Confidence(RIL.WORD)
            yield _Seen(text, box[0], box[2], (start + end) / 2, x_height, line, confidence)


def _sense(seen: Sequence[_Seen]) -> float:
    """The confidence of a letter in the middle; of a page without any, full: turned round it has none either."""
    letters = [word.confidence for word in seen for _ in word.text]
    return statistics.median(letters) if letters else 100.0


def _turned(page: Bitmap, quarter_turns: int) -> Bitmap:
    rows = np.frombuffer(page.pixels, np.uint8).reshape(page.height, page.stride_bytes)[:, : page.width]
    turned = np.rot90(rows, quarter_turns)
    height, width = turned.shape
    return msgspec.structs.replace(page, pixels=turned.tobytes(), width=width, height=height, stride_bytes=width)


def _placed(seen: Sequence[_Seen], points: float) -> list[Word]:
    """Boxes as a PDF has them: as high as the font, not as the word's own letters."""
    return [
        Word(
            text=word.text,
            x0=word.left * points,
            x1=word.right * points,
            top=(word.baseline - ASCENT * word.x_height) * points,
            bottom=(word.baseline + DESCENT * word.x_height) * points,
            line=word.line,
        )
        for word in seen
        if word.confidence >= MIN_CONFIDENCE
    ]
