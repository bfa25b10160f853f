"""PDF through pdfium: text in reading order, with page numbers, tables, headings and form fields."""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Iterator, Sequence

import pypdfium2 as pdfium
import pypdfium2.raw as c

from penstock.core.errors import BadDocument
from penstock.ingest.parse.layout import Line, Table, Word, arrange
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.pages import write_pages
from penstock.ingest.parse.scan import read_scans

WORD = re.compile(r"\S+")
MAX_PAGES = 20_000
MAX_PAGE_CHARS = 1_000_000
EXTRACT = 1 << 4
"""The permission bit without which a document's owner does not allow its text to be taken out."""
MIN_SPACED_WORDS, MAX_SPACED_LETTERS = 5, 2.0
CLEAR_STEP = 0.8
BOLD_WEIGHT = 600
FEW_LETTERS = 5
NO_TEXT = 'Its pages are pictures without text (a scan?). To have them read, set ingest.ocr to "scans".'
DRAWN = frozenset({c.FPDF_ANNOT_WIDGET, c.FPDF_ANNOT_FREETEXT, c.FPDF_ANNOT_STAMP})
"""Annotations that carry text of their own."""


def read_pdf(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    pdf = _open(content)
    if not c.FPDF_GetDocPermissions(pdf.raw) & EXTRACT:
        raise BadDocument("forbidden", "Its owner does not allow its text to be extracted.")
    if len(pdf) > MAX_PAGES:
        raise BadDocument("too_large", f"It has {len(pdf):,} pages; {MAX_PAGES:,} are allowed.")
    outline.title = pdf.get_metadata_value("Title")
    fields = list(_form_fields(pdf))  # before pages are made flat, which ends the fields
    pages: list[list[Line | Table]] = []
    scanned: list[int] = []
    for number in range(len(pdf)):
        items, has_drawing = _page(pdf, number)
        pages.append(items)
        if has_drawing and sum(len(item.plain) for item in items) < FEW_LETTERS:
            scanned.append(number)
    if scanned and outline.ocr is not None:
        outline.skipped(read_scans(pdf, pages, scanned, outline.ocr))
    write_pages(pages, outline)
    shown = " ".join(item.plain for items in pages for item in items) if fields else ""
    if hidden := [(name, value) for name, value in fields if " ".join(value.split()) not in shown]:
        outline.page = 0
        outline.table([("Field", "Value"), *hidden])
    if outline.letters < FEW_LETTERS and scanned:
        raise BadDocument("no_text", NO_TEXT if outline.ocr is None else "No text was recognised on its pages.")


def _open(content: bytes) -> pdfium.PdfDocument:
    """Raises BadDocument."""
    try:
        return pdfium.PdfDocument(content)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == c.FPDF_ERR_PASSWORD:
            raise BadDocument("encrypted", "It is protected by a password.") from error
        if getattr(error, "err_code", None) == c.FPDF_ERR_SECURITY:
            raise BadDocument("encrypted", "It is protected in a way that cannot be opened.") from error
        raise BadDocument("corrupt", f"It is a damaged PDF: {error}") from error


def _page(pdf: pdfium.PdfDocument, number: int) -> tuple[list[Line | Table], bool]:
    """What stands on a page, in reading order, and whether anything is drawn there."""
    try:
        page = pdf[number]
        if _has_drawn_annotations(page) and c.FPDFPage_Flatten(page.raw, c.FLAT_NORMALDISPLAY) == c.FLATTEN_SUCCESS:
            page.close()
            page = pdf[number]
        text_page = page.get_textpage()
    except pdfium.PdfiumError:
        # One page that cannot be loaded: the others may be whole.
        return [], False
    try:
        words = list(_words(page, text_page))
        return arrange(words, number + 1), bool(words) or c.FPDFPage_CountObjects(page.raw) > 0
    finally:
        text_page.close()
        page.close()


def _has_drawn_annotations(page: pdfium.PdfPage) -> bool:
    for index in range(min(c.FPDFPage_GetAnnotCount(page.raw), 1000)):
        annotation = c.FPDFPage_GetAnnot(page.raw, index)
        if annotation:
            kind = c.FPDFAnnot_GetSubtype(annotation)
            c.FPDFPage_CloseAnnot(annotation)
            if kind in DRAWN:
                return True
    return False


def _words(page: pdfium.PdfPage, text_page: pdfium.PdfTextPage) -> Iterator[Word]:
    """Words as pdfium sees them, in the order of drawing, with their boxes; y grows downward."""
    count = min(c.FPDFText_CountChars(text_page.raw), MAX_PAGE_CHARS)
    if count <= 0:
        return
    buffer = (ctypes.c_ushort * (2 * count + 2))()
    length = c.FPDFText_GetText(text_page.raw, 0, count, buffer)
    text = bytes(buffer)[: 2 * max(0, length - 1)].decode("utf-16-le", "replace")
    place = _Placer(page, text_page)
    position = 0
    for number, line in enumerate(text.split("\n")):
        for start, end in _word_ends(line, position, place):
            first, last = place.box(start), place.box(end - 1)
            if first is not None and last is not None:
                yield Word(
                    text=place.in_order(_letters(text[start:end]), start),
                    x0=min(first[0], last[0]),
                    x1=max(first[2], last[2]),
                    top=min(first[1], last[1]),
                    bottom=max(first[3], last[3]),
                    line=number,
                    bold=place.is_bold(start),
                )
        position += len(line) + 1


def _letters(word: str) -> str:
    return "".join(word.split())


def _word_ends(line: str, offset: int, place: _Placer) -> Iterator[tuple[int, int]]:
    """Where words begin and end. Where nearly every letter stands alone the file places letters one by one, and the
    spaces between them say nothing: then the widths of the gaps do.
    """
    words = [match.span() for match in WORD.finditer(line)]
    if len(words) < MIN_SPACED_WORDS or sum(end - start for start, end in words) > MAX_SPACED_LETTERS * len(words):
        yield from ((offset + start, offset + end) for start, end in words)
        return
    letters = [offset + index for index, letter in enumerate(line) if not letter.isspace()]
    boxes = [place.box(index) for index in letters]
    gaps = [
        after[0] - before[2] if before is not None and after is not None else 0.0
        for before, after in itertools.pairwise(boxes)
    ]
    threshold = _threshold(gaps)
    begin = 0
    for index, gap in enumerate(gaps, start=1):
        if gap > threshold:
            yield letters[begin], letters[index - 1] + 1
            begin = index
    yield letters[begin], letters[-1] + 1


def _threshold(gaps: Sequence[float]) -> float:
    """The middle of the largest step between gaps of increasing width, if it is a clear one."""
    ordered = sorted(gaps)
    step, place = max((after - before, index) for index, (before, after) in enumerate(itertools.pairwise(ordered)))
    return ordered[place] + step / 2 if step > CLEAR_STEP * max(ordered[place], 0.1) else ordered[-1] + 1


class _Placer:
    """Boxes of characters, turned as the page is turned."""

    def __init__(self, page: pdfium.PdfPage, text_page: pdfium.PdfTextPage) -> None:
        self._text = text_page.raw
        self._turn = c.FPDFPage_GetRotation(page.raw)
        width, height = page.get_size()
        self._width, self._height = (height, width) if self._turn % 2 else (width, height)
        self._rect = c.FS_RECTF()
        self._name = ctypes.create_string_buffer(128)

    def box(self, text_index: int) -> tuple[float, float, float, float] | None:
        index = c.FPDFText_GetCharIndexFromTextIndex(self._text, text_index)
        if index < 0 or not c.FPDFText_GetLooseCharBox(self._text, index, self._rect):
            return None
        rect = self._rect
        left, bottom, right, top = rect.left, rect.bottom, rect.right, rect.top
        if self._turn == 1:
            return bottom, left, top, right
        if self._turn == 2:
            return self._width - right, bottom, self._width - left, top
        if self._turn == 3:
            return self._height - top, self._width - right, self._height - bottom, self._width - left
        return left, self._height - top, right, self._height - bottom

    def is_bold(self, text_index: int) -> bool:
        index = c.FPDFText_GetCharIndexFromTextIndex(self._text, text_index)
        if c.FPDFText_GetFontWeight(self._text, index) >= BOLD_WEIGHT:
            return True
        size = c.FPDFText_GetFontInfo(self._text, index, self._name, len(self._name), None)
        return b"bold" in self._name.raw[: min(size, len(self._name))].lower()

    def in_order(self, word: str, start: int) -> str:
        """Arabic's lam-alef is one glyph for two letters, and pdfium turns these two round with the line."""
        if "ل" not in word:
            return word
        letters = list(word)
        for index in range(len(letters) - 1):
            if (
                letters[index] in "اأإآ"
                and letters[index + 1] == "ل"
                and self.box(start + index) == self.box(start + index + 1)
            ):
                letters[index], letters[index + 1] = letters[index + 1], letters[index]
        return "".join(letters)


def _form_fields(pdf: pdfium.PdfDocument) -> Iterator[tuple[str, str]]:
    """Names and values of form fields. Some are drawn on the page and some are not."""
    if pdf.get_formtype() == c.FORMTYPE_NONE:
        return
    pdf.init_forms()
    if pdf.formenv is None:
        return
    for number in range(len(pdf)):
        page = pdf[number]
        for index in range(min(c.FPDFPage_GetAnnotCount(page.raw), 5000)):
            annotation = c.FPDFPage_GetAnnot(page.raw, index)
            if not annotation:
                continue
            name = _string(c.FPDFAnnot_GetFormFieldName, pdf.formenv.raw, annotation)
            value = _string(c.FPDFAnnot_GetFormFieldValue, pdf.formenv.raw, annotation).strip()
            c.FPDFPage_CloseAnnot(annotation)
            if value:
                yield name, value
        page.close()


def _string(getter: object, form: object, annotation: object) -> str:
    size = getter(form, annotation, None, 0)  # type: ignore[operator]
    if size <= 2:
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    getter(form, annotation, buffer, size)  # type: ignore[operator]
    return bytes(buffer)[: size - 2].decode("utf-16-le", "replace")
