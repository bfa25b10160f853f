"""Lines of all pages become headings, paragraphs and lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from penstock.ingest.parse.layout import Line, Table
from penstock.ingest.parse.outline import ListItem, Outline

HEADING_RATIO = 1.15
"""A line so much larger than most of the document's text is a heading."""
MAX_BOLD_CHARS = 100
BOLD_SHARE = 0.3
"""Where more of a document is bold, bold means nothing."""
MAX_HEADING_LINES = 3
MAX_HEADING_CHARS = 200
BULLET = re.compile(r"([•‣◦▪■●○·–—*-]|(\d{1,3})[.)])\s+(\S.*)")
DIGITS = re.compile(r"\d+")
DIVIDED = re.compile(r"[^\W\d_]-$")
HYPHENS = "\u0002\ufffe\u00ad"
REPEATED_SHARE = 0.5
"""A first or last line that is on so many of the pages is a running head."""
MIN_PAGES_FOR_HEADS = 4
EDGE_LINES = 2


def write_pages(pages: Sequence[Sequence[Line | Table]], outline: Outline) -> None:
    body = _body_size(pages)
    levels = _heading_levels(pages, body)
    heads = _running_heads(pages)
    seen: set[str] = set()
    writer = _Writer(outline, levels, bold_body=_is_bold(pages))
    for items in pages:
        last = len(items) - 1
        for index, item in enumerate(items):
            if isinstance(item, Table):
                writer.table(item)
                continue
            key = _key(item)
            if key in heads and (index < EDGE_LINES or index > last - EDGE_LINES):
                if key in seen:
                    continue
                seen.add(key)
            writer.line(item)
    writer.flush()


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def _lines(pages: Sequence[Sequence[Line | Table]]) -> list[Line]:
    return [item for items in pages for item in items if isinstance(item, Line)]


def _body_size(pages: Sequence[Sequence[Line | Table]]) -> float:
    sizes: Counter[float] = Counter()
    for line in _lines(pages):
        sizes[_rounded(line.size)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _is_bold(pages: Sequence[Sequence[Line | Table]]) -> bool:
    lines = _lines(pages)
    return sum(len(line.text) for line in lines if line.bold) > BOLD_SHARE * sum(len(line.text) for line in lines)


def _heading_levels(pages: Sequence[Sequence[Line | Table]], body: float) -> dict[float, int]:
    """Sizes above the body's, the largest first; rare outliers count like the others."""
    sizes = {
        _rounded(line.size)
        for line in _lines(pages)
        if body and line.size > HEADING_RATIO * body and any(letter.isalpha() for letter in line.text)
    }
    return {size: min(6, level) for level, size in enumerate(sorted(sizes, reverse=True), start=1)}


def _running_heads(pages: Sequence[Sequence[Line | Table]]) -> set[str]:
    if len(pages) < MIN_PAGES_FOR_HEADS:
        return set()
    counts: Counter[str] = Counter()
    for items in pages:
        edges = [*items[:EDGE_LINES], *items[-EDGE_LINES:]]
        counts.update({_key(item) for item in edges if isinstance(item, Line) and len(item.text) < 120})
    return {key for key, count in counts.items() if count >= REPEATED_SHARE * len(pages)}


def _key(line: Line) -> str:
    return DIGITS.sub("#", line.text)


class _Writer:
    """Joins lines into paragraphs as they come."""

    def __init__(self, outline: Outline, levels: dict[float, int], *, bold_body: bool) -> None:
        self._outline = outline
        self._bold_body = bold_body
        self._levels = levels
        self._group: list[Line] = []
        self._items: list[tuple[int | None, list[Line]]] = []

    def table(self, table: Table) -> None:
        self.flush()
        self._outline.page = table.page
        self._outline.table(table.rows)

    def line(self, line: Line) -> None:
        level = self._level(line)
        bullet = BULLET.fullmatch(line.text)
        if bullet and not level:
            if not self._items:
                self.flush()
            number = int(bullet[2]) if bullet[2] else None
            self._items.append((number, [_with_text(line, bullet[3])]))
            return
        if self._items and self._continues_item(line):
            self._items[-1][1].append(line)
            return
        if (
            self._items
            or (self._group and not self._continues(self._group[-1], line))
            or (self._group and self._level(self._group[-1]) != level)
        ):
            self.flush()
        self._group.append(line)

    def _level(self, line: Line) -> int:
        """A line in larger letters is a heading, and so is a short bold one where most of the text is not bold."""
        by_size = self._levels.get(_rounded(line.size), 0)
        if by_size or not line.bold or self._bold_body or len(line.text) > MAX_BOLD_CHARS:
            return by_size
        if line.text[-1:] in ".,;:" or not any(letter.isalpha() for letter in line.text):
            return 0
        return min(6, max(self._levels.values(), default=0) + 1)

    def _continues_item(self, line: Line) -> bool:
        before = self._items[-1][1][-1]
        first = self._items[-1][1][0]
        return self._continues(before, line) and line.x0 >= first.x0 - 1

    def _continues(self, before: Line, line: Line) -> bool:
        size = max(before.size, 1.0)
        if line.page != before.page or line.top < before.top:
            # A sentence that goes on overleaf, or in the next column.
            return before.text[-1:].islower() and line.text[:1].islower()
        if abs(line.size - before.size) > 0.12 * size:
            return False
        indented = len(self._group) > 1 and line.x0 - before.x0 > 0.8 * size and line.text[:1].isupper()
        return line.top - before.bottom < 0.55 * size and not indented

    def flush(self) -> None:
        if self._items:
            self._outline.page = self._items[0][1][0].page
            self._outline.list(ListItem(_joined(lines), number=number) for number, lines in self._items)
            self._items = []
        if self._group:
            self._outline.page = self._group[0].page
            text = _joined(self._group)
            level = self._level(self._group[0])
            if level and len(self._group) <= MAX_HEADING_LINES and len(text) <= MAX_HEADING_CHARS:
                self._outline.heading(text, level)
            else:
                self._outline.paragraph(text)
            self._group = []


def _with_text(line: Line, text: str) -> Line:
    return msgspec.structs.replace(line, text=text)


def _joined(lines: Sequence[Line]) -> str:
    """Lines as running text; a word divided at a line's end becomes whole."""
    text = ""
    for line in lines:
        piece = line.text
        if (text and text[-1] in HYPHENS) or (DIVIDED.search(text) and piece[:1].islower()):
            text = text[:-1] + piece
        else:
            text = f"{text} {piece}" if text else piece
    return text
