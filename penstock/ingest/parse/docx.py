"""Word documents (DOCX), transitional and Strict, read as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from penstock.ingest.parse.container import Container, core_title, main_part, relations
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import ListItem, Outline
from penstock.ingest.parse.xmlstream import Event

SKIPPED = frozenset({"Fallback", "del", "moveFrom", "instrText", "delText", "pPrChange", "rPrChange", "sectPrChange"})
"""Second versions of drawings, deleted text, field codes, what the format was before."""
HEADING_NAME = re.compile(r"(?i)heading\s*([1-9])$")
BULLETS = frozenset({"bullet", "none", ""})
NOTES = ("footnotes", "endnotes", "comments")


class _Style(msgspec.Struct, frozen=True):
    level: int = 0
    """1 to 9 for headings."""
    is_title: bool = False
    list_id: str = ""


class _Paragraph:
    """One paragraph under way. Text boxes lie within paragraphs, so there can be several."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.style = ""
        self.outline_level = 0
        self.list_id: str | None = None
        self.depth = 0


class _Table:
    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.cell: list[str] = []
        self.span = 1
        self.continues = False


def read_docx(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with Container(content, limits) as container:
        part = main_part(container)
        outline.title = core_title(container)
        related = relations(container, part)
        reader = _Reader(outline, _styles(container, related), _numbering(container, related))
        names = [(kind, name) for kind, name in related.values() if name in container]
        for kind, order in (("header", ()), ("", (part,)), ("footer", ())):
            seen: set[str] = set()
            for name in order or sorted(name for found, name in names if found == kind):
                reader.read(container.events(name), without=seen if kind else None)
        for kind in NOTES:
            for name in (name for found, name in names if found == kind):
                reader.read(container.events(name), without=None)


def _styles(container: Container, related: dict[str, tuple[str, str]]) -> dict[str, _Style]:
    """Which styles are headings, also where one is based on another."""
    styles: dict[str, _Style] = {}
    based: dict[str, str] = {}
    current = ""
    for event in _part(container, related, "styles"):
        if event.kind != "start":
            continue
        value = event.attributes.get("val", "")
        if event.name == "style":
            current = event.attributes.get("styleId", "")
            styles[current] = _Style()
        elif event.name == "name":
            level = int(match[1]) if (match := HEADING_NAME.match(value)) else 0
            styles[current] = _Style(level=level, is_title=value.lower() == "title")
        elif event.name == "basedOn":
            based[current] = value
        elif event.name == "outlineLvl" and value in set("012345678"):
            styles[current] = msgspec.structs.replace(styles.get(current, _Style()), level=int(value) + 1)
        elif event.name == "numId":
            styles[current] = msgspec.structs.replace(styles.get(current, _Style()), list_id=value)
    return {name: _inherited(name, styles, based) for name in styles}


def _inherited(name: str, styles: dict[str, _Style], based: dict[str, str]) -> _Style:
    for _ in range(10):
        if styles.get(name, _Style()) != _Style() or name not in based:
            break
        name = based[name]
    return styles.get(name, _Style())


def _numbering(container: Container, related: dict[str, tuple[str, str]]) -> dict[tuple[str, int], bool]:
    """Whether a list's level is numbered, by (list, depth)."""
    formats: dict[tuple[str, int], bool] = {}
    numbered: dict[tuple[str, int], bool] = {}
    abstract, instance, depth = "", "", 0
    for event in _part(container, related, "numbering"):
        if event.kind != "start":
            continue
        value = event.attributes.get("val", "")
        if event.name == "abstractNum":
            abstract = event.attributes.get("abstractNumId", "")
        elif event.name == "lvl":
            depth = _small(event.attributes.get("ilvl", ""))
        elif event.name == "numFmt":
            formats[abstract, depth] = value not in BULLETS
        elif event.name == "num":
            instance = event.attributes.get("numId", "")
        elif event.name == "abstractNumId":
            numbered |= {(instance, level): ordered for (name, level), ordered in formats.items() if name == value}
    return numbered


def _part(container: Container, related: dict[str, tuple[str, str]], kind: str) -> Iterator[Event]:
    for found, name in related.values():
        if found == kind and name in container:
            yield from container.events(name)
            return


class _Reader:
    """Writes paragraphs, lists and tables as their ends come by."""

    def __init__(self, outline: Outline, styles: dict[str, _Style], numbering: dict[tuple[str, int], bool]) -> None:
        self._outline = outline
        self._styles = styles
        self._numbering = numbering
        self._paragraphs: list[_Paragraph] = []
        self._tables: list[_Table] = []
        self._items: list[ListItem] = []
        self._counters: dict[tuple[str, int], int] = {}
        self._skipping = 0
        self._in_text = False

    def read(self, stream: Iterator[Event], *, without: set[str] | None) -> None:
        """`without` gathers paragraphs that are written once only: every section repeats its header."""
        self._without = without
        for event in stream:
            if event.kind == "text":
                if self._in_text and not self._skipping and self._paragraphs:
                    self._paragraphs[-1].words.append(event.text)
            elif event.name in SKIPPED:
                self._skipping += 1 if event.kind == "start" else -1
            elif self._skipping:
                continue
            elif event.kind == "start":
                self._start(event)
            else:
                self._end(event.name)
        self._end_list()

    def _start(self, event: Event) -> None:
        name, value = event.name, event.attributes.get("val", "")
        paragraph = self._paragraphs[-1] if self._paragraphs else None
        if name == "p":
            self._paragraphs.append(_Paragraph())
        elif name == "tbl":
            self._end_list()
            self._tables.append(_Table())
        elif name == "tr" and self._tables:
            self._tables[-1].rows.append([])
        elif name == "tc" and self._tables:
            self._tables[-1].cell, self._tables[-1].span, self._tables[-1].continues = [], 1, False
        elif name == "gridSpan" and self._tables:
            self._tables[-1].span = min(64, max(1, _small(value)))
        elif name == "vMerge" and self._tables:
            self._tables[-1].continues = value != "restart"
        elif paragraph is not None:
            self._within(paragraph, event, value)

    def _within(self, paragraph: _Paragraph, event: Event, value: str) -> None:
        name = event.name
        if name == "t":
            self._in_text = True
        elif name in {"tab", "ptab"}:
            # Also a tab stop of the paragraph's format, which has attributes of its own.
            paragraph.words.append("" if "pos" in event.attributes else "\t")
        elif name in {"br", "cr"}:
            paragraph.words.append("\n")
        elif name == "noBreakHyphen":
            paragraph.words.append("-")
        elif name == "pStyle":
            paragraph.style = value
        elif name == "outlineLvl":
            paragraph.outline_level = _small(value) + 1 if value.isdecimal() and int(value) < 9 else 0
        elif name == "numId":
            paragraph.list_id = value
        elif name == "ilvl":
            paragraph.depth = _small(value)

    def _end(self, name: str) -> None:
        if name == "t":
            self._in_text = False
        elif name == "p" and self._paragraphs:
            self._write(self._paragraphs.pop())
        elif name == "tc" and self._tables and self._tables[-1].rows:
            table = self._tables[-1]
            # A cell merged with the one above repeats nothing.
            text = "" if table.continues else " ".join(table.cell)
            table.rows[-1] += [text, *[""] * (table.span - 1)]
        elif name == "tbl" and self._tables:
            self._end_table(self._tables.pop())

    def _end_table(self, table: _Table) -> None:
        if self._tables:
            # A table within a cell is that cell's text.
            self._tables[-1].cell += [cell for row in table.rows for cell in row if cell]
        else:
            self._outline.table(table.rows)

    def _write(self, paragraph: _Paragraph) -> None:
        text = "".join(paragraph.words).strip()
        if not text:
            return
        if self._tables:
            self._tables[-1].cell.append(text)
            return
        if self._without is not None:
            if text in self._without or not any(letter.isalpha() for letter in text):
                return  # told already, or a page number
            self._without.add(text)
        style = self._styles.get(paragraph.style, _Style())
        level = paragraph.outline_level or style.level
        list_id = style.list_id if paragraph.list_id is None else paragraph.list_id
        if level or style.is_title:
            self._end_list()
            self._outline.heading(text, level or 1)
            if style.is_title and not self._outline.title:
                self._outline.title = text
        elif list_id not in {"", "0"}:
            self._items.append(self._item(text, list_id, paragraph.depth))
        else:
            self._end_list()
            self._outline.paragraph(text)

    def _item(self, text: str, list_id: str, depth: int) -> ListItem:
        if not self._numbering.get((list_id, depth), False):
            return ListItem(text, depth=depth)
        self._counters[list_id, depth] = self._counters.get((list_id, depth), 0) + 1
        for deeper in range(depth + 1, 10):
            self._counters.pop((list_id, deeper), None)
        return ListItem(text, depth=depth, number=self._counters[list_id, depth])

    def _end_list(self) -> None:
        if self._items:
            self._outline.list(self._items)
            self._items = []


def _small(value: str) -> int:
    return min(int(value), 99) if value.isdecimal() and len(value) < 9 else 0
