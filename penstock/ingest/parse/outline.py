"""Where every reader writes what it finds: headings, paragraphs, lists, tables and code, in reading order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from penstock.core.errors import BadDocument
from penstock.core.types import AttributeValue, Block, BlockKind, Document
from penstock.ingest.parse.ocr import Ocr

UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u2060\ufeff\ufff9-\uffff\ud800-\udfff]")
"""Controls, soft hyphens, byte order marks, lone surrogates: no part of a text, and refused by databases."""
PRESENTATION = re.compile("[\ufb00-\ufb4f\ufb50-\ufdfb\ufe70-\ufefc]+")
"""Ligatures and Arabic shapes: how letters are drawn, not which letters they are."""
SPACES = re.compile(r"[ \t\xa0\u2000-\u200a\u202f\u3000]+")
LINE_ENDS = re.compile(r"\r\n?|\u2028|\u0085|\x0c|\x0b")
LONGEST_HEADING_CHARS = 300
"""A longer one is a paragraph in large letters."""
MAX_TITLE_CHARS = 300
MAX_SKIPPED_CHARS = 500
GENERATED_TITLE = re.compile(
    r"(?i)^\W*(untitled|unspecified|anonymous|no title|(document|slide|book|presentation)\s*\d*|"
    r"microsoft (word|powerpoint|excel)\b.*|powerpoint presentation|"
    r".*\.(docx?|xlsx?|pptx?|indd|qxd|tex|dvi|rtf|pmd))\W*$"
)


def clean(text: str) -> str:
    """Without characters that are no text, and with line feeds for all line ends."""
    if text.isascii() and text.isprintable():
        return text  # most pieces of text are, and nothing in them needs cleaning
    text = LINE_ENDS.sub("\n", text)
    if UNWANTED.search(text):
        text = UNWANTED.sub("", text)
    if PRESENTATION.search(text):
        text = PRESENTATION.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    return text


def one_line(text: str) -> str:
    """White space, line ends included, as single spaces."""
    return " ".join(clean(text).split())


class ListItem:
    """One item: how deep it lies, its number (None for a bullet), its text."""

    __slots__ = ("depth", "number", "text")

    def __init__(self, text: str, *, depth: int = 0, number: int | None = None) -> None:
        self.text = text
        self.depth = depth
        self.number = number


class Outline:
    """Collects blocks. `page` is set by readers of formats that have pages; `filename` is that of the file being read,
    which within an archive is the member's. `ocr` reads pictures of text, where that was asked for.

    Raises BadDocument (too_large) when the text grows over `max_chars`: what a small file unpacks to is unbounded.
    """

    def __init__(self, *, filename: str, max_chars: int, ocr: Ocr | None = None) -> None:
        self.filename = filename
        self.ocr = ocr
        self.title = ""
        self.page = 0
        self.attributes: dict[str, AttributeValue] = {}
        self.is_full = False
        self._blocks: list[Block] = []
        self._left_chars = max_chars
        self._max_chars = max_chars

    def __len__(self) -> int:
        return len(self._blocks)

    def skipped(self, parts: Iterable[str]) -> None:
        """Name parts that could not be read, in the attribute `skipped`."""
        before = self.attributes.get("skipped")
        if named := ", ".join([str(before)] * bool(before) + list(parts)):
            self.attributes["skipped"] = named[:MAX_SKIPPED_CHARS]

    def heading(self, text: str, level: int) -> None:
        text = one_line(text)
        if len(text) > LONGEST_HEADING_CHARS:
            self._add("paragraph", text)
        elif text:
            self._add("heading", text, level=min(6, max(1, level)))

    def paragraph(self, text: str) -> None:
        text = clean(text)
        if "\n" in text or not text.isascii():
            lines = (SPACES.sub(" ", line).strip() for line in text.split("\n"))
            text = "\n".join(line for line in lines if line)
        else:
            text = " ".join(text.split())
        self._add("paragraph", text)

    def list(self, items: Iterable[ListItem]) -> None:
        lines: list[str] = []
        for item in items:
            if text := one_line(item.text):
                marker = "- " if item.number is None else f"{item.number}. "
                lines.append("  " * min(item.depth, 8) + marker + text)
        self._add("list", "\n".join(lines))

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """The first row is the header. Empty rows are left out, ragged ones filled up."""
        kept: list[list[str]] = []
        chars = 0
        for row in rows:
            cells = [_cell(cell) for cell in row]
            if any(cells):
                kept.append(cells)
                # A few shared strings can stand in a million cells: stop before they are all written out.
                chars += sum(map(len, cells))
                self._check(chars)
        if not kept:
            return
        width = max(_width(row) for row in kept)
        if width == 1:
            self.paragraph("\n".join(row[0] for row in kept))
            return
        lines = ["| " + " | ".join([*row[:width], *[""] * (width - len(row))]) + " |" for row in kept]
        lines.insert(1, "|" + " --- |" * width)
        self._add("table", "\n".join(lines))

    def code(self, text: str, language: str = "") -> None:
        text = clean(text).strip("\n").rstrip()
        if text.strip():
            fence = "```"
            while fence in text:
                fence += "`"
            self._add("code", f"{fence}{one_line(language)}\n{text}\n{fence}")

    def document(self) -> Document:
        """Everything so far. Without a title of its own a document has that of its first heading."""
        title = one_line(self.title)[:MAX_TITLE_CHARS]
        if not title or GENERATED_TITLE.match(title):
            title = next((block.text for block in self._blocks[:5] if block.kind == "heading"), "")
        return Document(filename=self.filename, title=title, blocks=tuple(self._blocks), attributes=self.attributes)

    def has_text_after(self, count: int) -> bool:
        """Whether anything but headings came after the first `count` blocks."""
        return any(block.kind != "heading" for block in self._blocks[count:])

    def drop_after(self, count: int) -> None:
        """Take back everything after the first `count` blocks."""
        del self._blocks[count:]

    @property
    def letters(self) -> int:
        """Letters and digits so far, counted up to a hundred: whether there is any text worth the name."""
        count = 0
        for block in self._blocks:
            count += sum(character.isalnum() for character in block.text[:200])
            if count > 100:
                break
        return count

    def _check(self, chars: int) -> None:
        if chars > self._left_chars:
            self.is_full = True
            raise BadDocument("too_large", f"It unpacks to more than {self._max_chars:,} characters of text.")

    def _add(self, kind: BlockKind, text: str, *, level: int = 0) -> None:
        if not text:
            return
        self._check(len(text))
        self._left_chars -= len(text)
        self._blocks.append(Block(kind=kind, text=text, level=level, page=self.page))


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|")


def _width(row: Sequence[str]) -> int:
    return max((index + 1 for index, cell in enumerate(row) if cell), default=0)
