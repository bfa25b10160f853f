"""OpenDocument: text (ODT), sheets (ODS), slides (ODP)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.core.errors import BadDocument
from penstock.ingest.parse.container import Container, core_title
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import ListItem, Outline
from penstock.ingest.parse.xmlstream import Event

SKIPPED = frozenset({"tracked-changes", "annotation", "forms", "scripts", "font-face-decls", "automatic-styles"})
MANY = 64
"""Cells and rows may be declared as repeated, to the end of the sheet: so many repetitions are no content."""


def read_odf(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with Container(content, limits) as container:
        if "META-INF/manifest.xml" in container and any(
            event.kind == "start" and event.name == "encryption-data"
            for event in container.events("META-INF/manifest.xml")
        ):
            raise BadDocument("encrypted", "It is protected by a password.")
        outline.title = core_title(container)
        if "styles.xml" in container:
            # Headers and footers are part of the page styles.
            _Reader(outline, only="master-styles").read(container.events("styles.xml"))
        _Reader(outline, only="body").read(container.events("content.xml"))


class _Text:
    def __init__(self, level: int) -> None:
        self.words: list[str] = []
        self.level = level


class _Table:
    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.row: list[str] = []
        self.cell: list[str] = []
        self.repeated_cells = 1
        self.repeated_rows = 1

    def begin(self, name: str, attributes: Mapping[str, str]) -> None:
        """A row or a cell."""
        if name == "table-row":
            self.row = []
            self.repeated_rows = _count(attributes.get("number-rows-repeated", "1"))
        else:
            self.cell = []
            self.repeated_cells = _count(attributes.get("number-columns-repeated", "1"))


class _Reader:
    """Writes paragraphs, lists and tables as their ends come by."""

    def __init__(self, outline: Outline, *, only: str) -> None:
        self._outline = outline
        self._only = only
        self._inside = 0
        self._skipping = 0
        self._texts: list[_Text] = []
        self._tables: list[_Table] = []
        self._items: list[ListItem] = []
        self._depth = 0
        self._is_title = False
        self._pages = 0
        self._sheet = ""
        self._has_sheets = False

    def read(self, stream: Iterator[Event]) -> None:
        for event in stream:
            if event.kind == "text":
                if self._texts and not self._skipping:
                    self._texts[-1].words.append(event.text)
            elif event.name == self._only:
                self._inside += 1 if event.kind == "start" else -1
            elif event.name in SKIPPED:
                self._skipping += 1 if event.kind == "start" else -1
            elif self._inside and not self._skipping:
                if event.kind == "start":
                    self._start(event)
                else:
                    self._end(event.name)
        self._end_list()

    def _start(self, event: Event) -> None:
        name, attributes = event.name, event.attributes
        if name == "p":
            self._texts.append(_Text(0))
        elif name == "h":
            self._texts.append(_Text(_count(attributes.get("outline-level", "1"))))
        elif name in {"s", "tab", "line-break"} and self._texts:
            mark = {"tab": "\t", "line-break": "\n"}.get(name, " ")
            self._texts[-1].words.append(mark)
        elif name == "list":
            self._depth += 1
        elif name == "table":
            self._end_list()
            self._tables.append(_Table())
            self._sheet = attributes.get("name", "") if len(self._tables) == 1 else self._sheet
        elif self._tables and name in {"table-row", "table-cell", "covered-table-cell"}:
            self._tables[-1].begin(name, attributes)
        elif name == "page":
            self._end_list()
            self._pages += 1
            self._outline.page = self._pages
        elif name == "frame":
            self._is_title = attributes.get("class") == "title"
        elif name == "spreadsheet":
            self._has_sheets = True

    def _end(self, name: str) -> None:
        if name in {"p", "h"} and self._texts:
            self._write(self._texts.pop())
        elif name == "list":
            self._depth -= 1
            if self._depth == 0:
                self._end_list()
        elif name in {"table-cell", "covered-table-cell"} and self._tables:
            table = self._tables[-1]
            text = " ".join(table.cell)
            times = table.repeated_cells
            table.row += [text] * (times if times <= MANY else 1)
        elif name == "table-row" and self._tables:
            table = self._tables[-1]
            if any(table.row):
                table.rows += [table.row] * (table.repeated_rows if table.repeated_rows <= MANY else 1)
        elif name == "table" and self._tables:
            self._end_table(self._tables.pop())
        elif name == "frame":
            self._is_title = False

    def _end_table(self, table: _Table) -> None:
        if self._tables:
            self._tables[-1].cell += [cell for row in table.rows for cell in row if cell]
            return
        if table.rows and self._has_sheets:
            self._outline.heading(self._sheet, 1)
        self._outline.table(table.rows)

    def _write(self, paragraph: _Text) -> None:
        text = "".join(paragraph.words).strip()
        if not text:
            return
        if self._tables:
            self._tables[-1].cell.append(text)
        elif paragraph.level or self._is_title:
            self._end_list()
            self._outline.heading(text, paragraph.level or 1)
        elif self._depth:
            self._items.append(ListItem(text, depth=self._depth - 1))
        else:
            self._end_list()
            self._outline.paragraph(text)

    def _end_list(self) -> None:
        if self._items:
            self._outline.list(self._items)
            self._items = []


def _count(text: str) -> int:
    return max(1, int(text)) if text.isdecimal() and len(text) < 9 else 1
