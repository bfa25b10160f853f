"""Words on a page become lines and tables in reading order.

Rows are words at one height. Consecutive rows that leave the same upright gap free form a band: its sides are columns
of prose when they are filled with words, and otherwise the columns of a table. The rest is read from top to bottom.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterable, Sequence

import msgspec

GAP = 1.1
"""Times the letter size: a wider space between words separates cells or columns."""
BULLET = re.compile(r"[•‣◦▪■●○·–—*-]|o|\(?[0-9a-zA-Z]{1,3}[.)]|\[[0-9]{1,3}\]")
BULLET_GAP = 4.0
PROSE_WORDS = 4
PROSE_FILL = 0.55
MIN_COLUMN_ROWS = 4
MAX_DEPTH = 6
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff]")


class Word(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`line` counts pdfium's own lines; y grows downward."""

    text: str
    x0: float
    x1: float
    top: float
    bottom: float
    line: int
    bold: bool = False


class Line(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Words that belong together, at one height."""

    text: str
    x0: float
    x1: float
    top: float
    bottom: float
    page: int
    bold: bool = False

    @property
    def size(self) -> float:
        return self.bottom - self.top

    @property
    def plain(self) -> str:
        return self.text


class Table(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[list[str]]
    page: int

    @property
    def plain(self) -> str:
        return " ".join(cell for row in self.rows for cell in row)


Row = list[Line]


def arrange(words: Sequence[Word], page: int) -> list[Line | Table]:
    """A page's lines and tables in reading order."""
    segments = _segments(words, page)
    if not segments:
        return []
    right_to_left = sum(bool(RIGHT_TO_LEFT.search(line.text)) for line in segments) > len(segments) / 2
    return _arranged(segments, right_to_left, 0)


def _segments(words: Sequence[Word], page: int) -> list[Line]:
    """Words of one of pdfium's lines without a wide gap between them."""
    segments: list[Line] = []
    group: list[Word] = []
    for word in words:
        if group and (word.line != group[-1].line or _apart(group[-1], word, group)):
            segments.append(_joined(group, page))
            group = []
        group.append(word)
    if group:
        segments.append(_joined(group, page))
    return segments


def _apart(before: Word, word: Word, group: Sequence[Word]) -> bool:
    size = max(before.bottom - before.top, word.bottom - word.top, 1.0)
    gap = max(word.x0 - before.x1, before.x0 - word.x1)
    if min(before.bottom, word.bottom) - max(before.top, word.top) < 0.2 * min(
        before.bottom - before.top, word.bottom - word.top
    ):
        return True
    if len(group) == 1 and BULLET.fullmatch(before.text):
        return gap > BULLET_GAP * size
    return gap > GAP * size


def _joined(group: Sequence[Word], page: int) -> Line:
    return Line(
        text=" ".join(word.text for word in group),
        x0=min(word.x0 for word in group),
        x1=max(word.x1 for word in group),
        top=statistics.median_low(word.top for word in group),
        bottom=statistics.median_high(word.bottom for word in group),
        page=page,
        bold=all(word.bold for word in group),
    )


def _arranged(segments: Sequence[Line], right_to_left: bool, depth: int) -> list[Line | Table]:  # noqa: FBT001 - internal
    rows = _rows(segments)
    items: list[Line | Table] = []
    start = 0
    while start < len(rows):
        end, gutters = _band(rows, start) if depth < MAX_DEPTH else (start + 1, [])
        band = rows[start:end]
        if gutters and _is_prose(band, gutters):
            sides = _sides([line for row in band for line in row], gutters)
            for side in reversed(sides) if right_to_left else sides:
                items += _arranged(side, right_to_left, depth + 1)
        elif gutters and sum(len(row) > 1 for row in band) > 1:
            items.append(Table(rows=_table_rows(band, gutters, right_to_left), page=band[0][0].page))
        else:
            end = start + 1
            items.append(_whole(rows[start], right_to_left))
        start = end
    return items


def _rows(segments: Iterable[Line]) -> list[Row]:
    """Segments at one height, from top to bottom, each row from left to right."""
    rows: list[Row] = []
    for line in sorted(segments, key=lambda line: (line.top + line.bottom) / 2):
        middle = (line.top + line.bottom) / 2
        row = rows[-1] if rows else None
        if row is not None and row[0].top < middle < row[0].bottom and not any(_overlap(line, other) for other in row):
            row.append(line)
        else:
            rows.append([line])
    for row in rows:
        row.sort(key=lambda line: line.x0)
    return rows


def _overlap(first: Line, second: Line) -> bool:
    return min(first.x1, second.x1) - max(first.x0, second.x0) > 1.0


def _band(rows: Sequence[Row], start: int) -> tuple[int, list[tuple[float, float]]]:
    """How far from `start` rows go that share gaps, and the gaps that all of them leave free."""
    gaps: list[tuple[float, float]] = []
    end = start
    seen_multi = False
    previous_bottom = rows[start][0].bottom
    while end < len(rows):
        row = rows[end]
        size = max(line.size for line in row)
        if end > start and min(line.top for line in row) - previous_bottom > 3 * size:
            break
        if len(row) > 1:
            own = [(left.x1, right.x0) for left, right in itertools.pairwise(row)]
            shared = _common(gaps, own, size) if seen_multi else _free(own, rows[start:end])
            if not shared:
                break
            if not seen_multi or len(shared) >= 1:
                gaps, seen_multi = (_merged(gaps, own, size) if seen_multi else shared), True
        elif seen_multi:
            kept = _without(gaps, row[0], size)
            if not kept:
                break
            gaps = kept
        else:
            break
        previous_bottom = max(line.bottom for line in row)
        end += 1
    if not seen_multi:
        return start + 1, []
    return end, _checked(rows[start:end], gaps)


def _free(own: list[tuple[float, float]], _before: Sequence[Row]) -> list[tuple[float, float]]:
    return own


def _common(gaps: list[tuple[float, float]], own: list[tuple[float, float]], size: float) -> list[tuple[float, float]]:
    """Overlaps of two rows' gaps that are wide enough."""
    overlaps = [(max(a, c), min(b, d)) for a, b in gaps for c, d in own]
    return [(left, right) for left, right in overlaps if right - left > 0.5 * size]


def _merged(gaps: list[tuple[float, float]], own: list[tuple[float, float]], size: float) -> list[tuple[float, float]]:
    """Gaps narrowed by a row that shares them; a gap where this row has an empty cell stays."""
    narrowed: list[tuple[float, float]] = []
    for left, right in gaps:
        overlaps = [(max(left, c), min(right, d)) for c, d in own if min(right, d) - max(left, c) > 0.3 * size]
        narrowed += overlaps or [(left, right)]
    for left, right in own:
        # A column in which the rows before had nothing.
        if not any(min(right, b) - max(left, a) > 0 for a, b in narrowed):
            narrowed.append((left, right))
    return sorted(set(narrowed))


def _without(gaps: list[tuple[float, float]], line: Line, size: float) -> list[tuple[float, float]]:
    """Gaps that a line leaves free; none when it crosses one of several columns' gaps."""
    kept: list[tuple[float, float]] = []
    for left, right in gaps:
        if line.x1 <= left + 1 or line.x0 >= right - 1:
            kept.append((left, right))
        elif line.x0 > left and right - line.x0 < right - left and line.x0 - left > 0.5 * size:
            kept.append((left, line.x0))
        elif line.x1 < right and right - line.x1 > 0.5 * size:
            kept.append((line.x1, right))
        else:
            return []
    return kept


def _checked(band: Sequence[Row], gaps: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Only gaps that no line of the band crosses."""
    lines = [line for row in band for line in row]
    return [(left, right) for left, right in gaps if not any(line.x0 < (left + right) / 2 < line.x1 for line in lines)]


def _sides(lines: Iterable[Line], gutters: Sequence[tuple[float, float]]) -> list[list[Line]]:
    sides: list[list[Line]] = [[] for _ in range(len(gutters) + 1)]
    middles = [(left + right) / 2 for left, right in gutters]
    for line in lines:
        centre = (line.x0 + line.x1) / 2
        sides[sum(centre > middle for middle in middles)].append(line)
    return [side for side in sides if side]


def _is_prose(band: Sequence[Row], gutters: Sequence[tuple[float, float]]) -> bool:
    """Whether at least two sides are filled with running words."""
    if len(band) < MIN_COLUMN_ROWS:
        return False
    filled = 0
    for side in _sides([line for row in band for line in row], gutters):
        width = max(line.x1 for line in side) - min(line.x0 for line in side)
        if len(side) < MIN_COLUMN_ROWS or width <= 0:
            continue
        words = statistics.median(len(line.text.split()) for line in side)
        fill = statistics.mean((line.x1 - line.x0) / width for line in side)
        filled += words >= PROSE_WORDS and fill >= PROSE_FILL
    return filled >= 2


def _table_rows(
    band: Sequence[Row],
    gutters: Sequence[tuple[float, float]],
    right_to_left: bool,  # noqa: FBT001 - internal
) -> list[list[str]]:
    middles = [(left + right) / 2 for left, right in gutters]
    tops = [min(line.top for line in row) for row in band]
    steps = [after - before for before, after in itertools.pairwise(tops)]
    step = statistics.median(steps) if steps else 0.0
    rows: list[list[str]] = []
    for index, row in enumerate(band):
        cells = [""] * (len(gutters) + 1)
        for line in row:
            column = sum((line.x0 + line.x1) / 2 > middle for middle in middles)
            cells[column] = f"{cells[column]} {line.text}".strip()
        if rows and not cells[0] and tops[index] - tops[index - 1] < 0.75 * step:
            # The second line of a cell, closer to its first than rows are to each other.
            rows[-1] = [f"{above} {cell}".strip() for above, cell in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(cells)
    return [list(reversed(cells)) for cells in rows] if right_to_left else rows


def _whole(row: Row, right_to_left: bool) -> Line:  # noqa: FBT001 - internal
    """A row that is no table: its pieces are one line."""
    if len(row) == 1:
        return row[0]
    ordered = list(reversed(row)) if right_to_left else row
    return Line(
        text="  ".join(line.text for line in ordered),
        x0=row[0].x0,
        x1=max(line.x1 for line in row),
        top=min(line.top for line in row),
        bottom=max(line.bottom for line in row),
        page=row[0].page,
        bold=all(line.bold for line in row),
    )
