"""Workbooks (XLSX): a sheet is a heading and a table. Only cells that are there count, whatever size is declared."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from penstock.core.errors import BadDocument
from penstock.ingest.parse.container import Container, core_title, main_part, relations
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.xmlstream import feed, local, new_parser

DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
PERCENT_FORMATS = frozenset({9, 10})
LITERALS = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.')
LETTERS = re.compile(r"[A-Z]{1,3}")
WIDEST_GAP = 32
"""More empty cells than this between two cells are left out: they would be the larger part of the text."""
FIRST_DAY = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet's dates have no zone
FIRST_DAY_1904 = dt.datetime(1904, 1, 1)  # noqa: DTZ001
LAST_SERIAL = 2_958_466


def read_xlsx(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with Container(content, limits) as container:
        part = main_part(container)
        if part.endswith(".bin"):
            raise BadDocument("unsupported", "Binary workbooks (.xlsb) are not read. Save it as .xlsx.")
        outline.title = core_title(container)
        related = relations(container, part)
        strings = [
            string for kind, name in related.values() if kind == "sharedStrings" for string in _strings(container, name)
        ]
        formats = [form for kind, name in related.values() if kind == "styles" for form in _formats(container, name)]
        base = FIRST_DAY
        sheets: list[tuple[str, str]] = []
        for event in container.events(part):
            if event.kind != "start":
                continue
            if event.name == "workbookPr" and event.attributes.get("date1904") in {"1", "true"}:
                base = FIRST_DAY_1904
            elif event.name == "sheet" and event.attributes.get("id") in related:
                sheets.append((event.attributes.get("name", ""), related[event.attributes["id"]][1]))
        for number, (name, sheet) in enumerate(sheets, start=1):
            if sheet in container:
                outline.page = number
                rows = _Sheet(strings, formats, base).read(container, sheet)
                if rows:
                    outline.heading(name, 1)
                    outline.table(rows)


def _strings(container: Container, name: str) -> list[str]:
    """The strings that cells refer to; readings of Japanese words (rPh) are left out."""
    strings: list[str] = []
    if name not in container:
        return strings
    words: list[str] = []
    inside, reading = False, False
    for event in container.events(name):
        if event.kind == "text":
            if inside and not reading:
                words.append(event.text)
        elif event.name == "t":
            inside = event.kind == "start"
        elif event.name == "rPh":
            reading = event.kind == "start"
        elif event.name == "si" and event.kind == "end":
            strings.append("".join(words))
            words = []
    return strings


def _formats(container: Container, name: str) -> list[str]:
    """For each cell style: "date", "percent" or nothing."""
    kinds: list[str] = []
    if name not in container:
        return kinds
    own: dict[int, str] = {}
    in_cells = False
    for event in container.events(name):
        if event.name == "cellXfs":
            in_cells = event.kind == "start"
        elif event.kind == "start" and event.name == "numFmt":
            own[_number(event.attributes.get("numFmtId", ""))] = _kind(event.attributes.get("formatCode", ""))
        elif event.kind == "start" and event.name == "xf" and in_cells:
            form = _number(event.attributes.get("numFmtId", ""))
            built_in = "date" if form in DATE_FORMATS else "percent" if form in PERCENT_FORMATS else ""
            kinds.append(own.get(form, built_in))
    return kinds


def _kind(code: str) -> str:
    bare = LITERALS.sub("", code.partition(";")[0]).lower()
    if "%" in bare:
        return "percent"
    return "date" if re.search(r"[ymdhs]", bare) and "general" not in bare else ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


class _Sheet:
    """One sheet's rows. The parser's callbacks are used directly: a sheet may have a million cells."""

    def __init__(self, strings: Sequence[str], formats: Sequence[str], base: dt.datetime) -> None:
        self._strings = strings
        self._formats = formats
        self._base = base
        self._rows: list[list[str]] = []
        self._columns: list[int] = []
        self._row: list[str] = []
        self._type = ""
        self._style = 0
        self._words: list[str] = []
        self._listening = False
        self._column = -1
        self._first = -1

    def read(self, container: Container, part: str) -> list[list[str]]:
        parser = new_parser()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        with container.open(part) as stream:
            for _ in feed(parser, stream):
                pass
        left = min(self._columns, default=0)
        return [
            [""] * min(first - left, WIDEST_GAP) + row for first, row in zip(self._columns, self._rows, strict=True)
        ]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = local(name)
        if name == "c":
            self._type = attributes.get("t", "")
            style = attributes.get("s", "0")
            self._style = int(style) if style.isdecimal() and len(style) < 7 else 0
            self._move(attributes.get("r", ""))
            self._words = []
        elif name in {"v", "t"}:
            self._listening = True
        elif name == "row":
            self._row, self._column, self._first = [], -1, -1

    def _move(self, reference: str) -> None:
        """To the cell's column, filling up what lies between."""
        column = self._column + 1
        if match := LETTERS.match(reference):
            column = 0
            for letter in match[0]:
                column = column * 26 + ord(letter) - 64
            column -= 1
        if self._first < 0:
            self._first = column
        elif column > self._column + 1:
            self._row += [""] * min(column - self._column - 1, WIDEST_GAP)
        self._column = column

    def _text(self, text: str) -> None:
        if self._listening:
            self._words.append(text)

    def _end(self, name: str) -> None:
        name = local(name)
        if name in {"v", "t"}:
            self._listening = False
        elif name == "c":
            self._row.append(self._value("".join(self._words)) if self._words else "")
        elif name == "row" and any(self._row):
            self._rows.append(self._row)
            self._columns.append(self._first)

    def _value(self, raw: str) -> str:
        if self._type == "s":
            index = _number(raw)
            return self._strings[index] if index < len(self._strings) else ""
        if self._type == "b":
            return "TRUE" if raw == "1" else "FALSE"
        if self._type in {"", "n"}:
            form = self._formats[self._style] if self._style < len(self._formats) else ""
            return _shown(raw, form, self._base) if form or not raw.isdecimal() else raw
        return raw


def _shown(raw: str, form: str, base: dt.datetime) -> str:
    """A number as people see it: dates and percentages, and no digits that binary fractions make up."""
    try:
        number = float(raw)
    except ValueError:
        return raw
    if form == "date" and 0 <= number < LAST_SERIAL:
        moment = base + dt.timedelta(days=number)
        moment = (moment + dt.timedelta(microseconds=500_000)).replace(microsecond=0)
        if number < 1:
            return moment.time().isoformat()
        return moment.date().isoformat() if moment.time() == dt.time() else moment.isoformat(" ")
    if form == "percent":
        return f"{number * 100:.10g}%"
    return raw if raw.lstrip("-").isdecimal() else f"{number:.15g}"
