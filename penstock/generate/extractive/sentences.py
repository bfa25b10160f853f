"""A chunk's text in pieces that can be quoted: sentences, list items, table rows, code blocks.

A piece is a span of the chunk's text: `text[start:end]` is the quote, `shown` is how it reads in an answer (without
list markers, link addresses and line breaks; a table row with its column names; code as a fenced block).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec
from sentencex import segment

from penstock.generate.extractive.words import BROKEN

PieceKind = Literal["sentence", "item", "row", "code", "heading", "list"]
"""A `list` is a sentence that ends in a colon with the short list that follows it; `code` may begin with one too."""

MAX_PIECE = 800
"""Characters; a longer sentence is cut at white space, so that no document can make an answer of any length."""
MAX_CODE = 1_500
MAX_LIST = 500
"""Characters of a list that is quoted as a whole, with the sentence before it."""
MAX_CHUNK = 12_000
"""Characters of a chunk that are read; chunks are far smaller unless a document has no words."""

FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
HEADING = re.compile(r"^\s{0,3}#{1,6}\s")
ITEM = re.compile(r"^\s*(?:[-*+•◦▪]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
ROW = re.compile(r"^\s*\|.*\|\s*$")
RULE = re.compile(r"^[\s|:=-]+$")
LINK = re.compile(r"!?\[([^\[\]]{0,300})\](?:\([^()\s]{0,500}(?:\s\"[^\"]{0,200}\")?\)|\[[^\[\]]{0,100}\])")
BOLD = re.compile(r"(\*\*|__)(?=\S)(.{1,300}?)(?<=\S)\1")
ASIDE = re.compile(r"^\s*>\s?(?:\[!\w+\]\s*)?|^\s*\[!\w+\]\s*", re.MULTILINE)
"""Marks of a block quote and of a note in one."""
NOTE = re.compile(r"(?<=[.,;:!?)\]”\"])\[\d{1,3}\]")
"""A footnote mark after punctuation: dropped, since numbers in brackets are our citations."""

LANGUAGES = (
    (re.compile(r"[\u3040-\u30ff]"), "ja"),
    (re.compile(r"[\u3400-\u9fff]"), "zh"),
    (re.compile(r"[\uac00-\ud7af]"), "ko"),
    (re.compile(r"[\u0600-\u06ff]"), "ar"),
    (re.compile(r"[\u0590-\u05ff]"), "he"),
    (re.compile(r"[\u0900-\u097f]"), "hi"),
    (re.compile(r"[\u0400-\u04ff]"), "ru"),
    (re.compile(r"[\u0370-\u03ff]"), "el"),
)


class Piece(msgspec.Struct, frozen=True):
    """A span of a chunk's text. `header` is the table's first row, where there is one."""

    start: int
    end: int
    kind: PieceKind = "sentence"
    header: str = ""


def pieces(text: str) -> list[Piece]:
    """All pieces in reading order; they never overlap, and are never blank."""
    text = BROKEN.sub("?", text[:MAX_CHUNK])
    language = _language(text)
    found: list[Piece] = []
    for block in _blocks(text):
        if block.kind in ("sentence", "item"):
            found += _sentences(text, block, language)
        else:
            found += _cut(text, block, MAX_CODE if block.kind == "code" else MAX_PIECE)
    return _with_leads(text, found)


def shown(text: str, piece: Piece) -> str:
    """How the piece reads in an answer."""
    quote = text[piece.start : piece.end]
    if piece.kind == "code":
        lead, fence, block = _at_fence(quote)
        return f"{_as_line(lead)}\n\n{_as_block(fence + block)}" if lead.strip() else _as_block(quote)
    if piece.kind == "list":
        return _as_list(quote)
    if piece.kind == "row":
        return _as_pairs(quote, piece.header)
    return _as_line(quote)


def _language(text: str) -> str:
    if text.isascii():
        return "en"
    return next((code for script, code in LANGUAGES if script.search(text)), "en")


def _with_leads(text: str, found: list[Piece]) -> list[Piece]:
    """A sentence that ends in a colon says nothing alone: it takes the code or the short list that follows it."""
    merged: list[Piece] = []
    at = 0
    while at < len(found):
        piece = found[at]
        at += 1
        if piece.kind in ("sentence", "item") and text[piece.end - 1] in ":：" and at < len(found):
            stop = _led(found, at, piece.kind)
            end = found[stop - 1].end
            kind: PieceKind = "code" if found[at].kind == "code" else "list"
            if stop > at and end - piece.start <= (MAX_CODE if kind == "code" else MAX_LIST):
                piece = Piece(piece.start, end, kind)
                at = stop
        merged.append(piece)
    return merged


def _led(found: list[Piece], at: int, kind: PieceKind) -> int:
    """Where the code or the list ends that begins at `at`; `at` itself where there is none."""
    if found[at].kind == "code":
        return at + 1
    stop = at
    while kind == "sentence" and stop < len(found) and found[stop].kind == "item":
        stop += 1
    return stop


def _blocks(text: str) -> Iterator[Piece]:
    """Blocks by line: what follows a blank line, a list marker, a fence or a table's bar begins another one."""
    if "\n" not in text:
        start = marker.end() if (marker := ITEM.match(text)) else 0
        yield Piece(start, len(text), "row" if ROW.match(text) else "item" if start else "sentence")
        return
    lines = _Lines(text)
    for start, end in lines:
        line = text[start:end]
        if fence := FENCE.match(line):
            yield Piece(start, lines.until_fence(fence.group(1)), "code")
        elif not line.strip():
            lines.header = ""
        elif HEADING.match(line):
            yield Piece(start, end, "heading")
        elif ROW.match(line):
            if not RULE.match(line):
                yield Piece(start, end, "row", lines.header if lines.header != line else "")
                lines.header = lines.header or line
        else:
            marker = ITEM.match(line)
            yield Piece(
                start + marker.end() if marker else start, lines.until_break(), "item" if marker else "sentence"
            )


class _Lines:
    """Spans of a text's lines, without their ends; looking ahead takes the lines."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.header = ""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while self._at < len(self._text):
            yield self._next()

    def until_fence(self, mark: str) -> int:
        end = min(self._at, len(self._text))
        while self._at < len(self._text):
            start, end = self._next()
            if self._text[start:end].strip().startswith(mark):
                break
        return end

    def until_break(self) -> int:
        end = self._at - 1 if self._text[self._at - 1 : self._at] == "\n" else self._at
        while self._at < len(self._text):
            before = self._at
            start, stop = self._next()
            line = self._text[start:stop]
            if not line.strip() or any(mark.match(line) for mark in (FENCE, HEADING, ROW, ITEM)):
                self._at = before
                break
            end = stop
        return end

    def _next(self) -> tuple[int, int]:
        start = self._at
        end = self._text.find("\n", start)
        end = len(self._text) if end < 0 else end
        self._at = end + 1
        return start, end


def _sentences(text: str, block: Piece, language: str) -> Iterator[Piece]:
    # Line breaks inside a paragraph are spaces to a reader; one character for one keeps the offsets.
    flat = text[block.start : block.end].replace("\n", " ").replace("\r", " ")
    at = 0
    for sentence in segment(language, flat):
        start = flat.find(sentence, at)
        if start < 0:
            continue
        at = start + len(sentence)
        yield from _cut(text, Piece(block.start + start, block.start + at, block.kind), MAX_PIECE)


def _cut(text: str, piece: Piece, limit: int) -> Iterator[Piece]:
    """The piece without white space around it; in several where it is too long."""
    start, end = piece.start, piece.end
    while start < end:
        quote = text[start:end]
        start += len(quote) - len(quote.lstrip())
        if start >= end:
            return
        stop = end
        if end - start > limit:
            stop = text.rfind("\n" if piece.kind == "code" else " ", start + limit // 2, start + limit) + 1
            stop = stop or start + limit
        stop_text = start + len(text[start:stop].rstrip())
        yield Piece(start, stop_text, piece.kind, piece.header)
        start = stop


def _as_line(quote: str) -> str:
    quote = ASIDE.sub("", quote) if ">" in quote or "[!" in quote else quote
    line = LINK.sub(r"\1", quote) if "[" in quote else quote
    if "**" in line or "__" in line:
        line = BOLD.sub(r"\2", line)
    if "[" in line:
        line = NOTE.sub("", line)
    if line.startswith("#"):
        line = line.lstrip("#")
    return " ".join(line.split())


def _as_pairs(quote: str, header: str) -> str:
    cells = [_as_line(cell) for cell in quote.strip().strip("|").split("|")]
    names = [_as_line(name) for name in header.strip().strip("|").split("|")] if header else []
    if len(names) != len(cells):
        return " — ".join(cell for cell in cells if cell)
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=True) if cell)


def _as_list(quote: str) -> str:
    """The lead in one line, then the items as Markdown; a line without a marker goes on with the item before it."""
    lines: list[str] = []
    for line in quote.splitlines():
        marker = ITEM.match(line)
        if marker:
            lines.append(f"- {line[marker.end() :]}")
        elif lines and line.strip():
            lines[-1] += f" {line.strip()}"
        elif line.strip():
            lines.append(line)
    return "\n".join(_as_line(line) for line in lines)


def _at_fence(quote: str) -> tuple[str, str, str]:
    """The text before the first fence, the fence's mark, and the rest; no lead where there is no fence."""
    opening = re.search(FENCE.pattern, quote, re.MULTILINE)
    if opening is None:
        return "", "", quote
    return quote[: opening.start(1)], opening.group(1), quote[opening.end(1) :]


def _as_block(quote: str) -> str:
    fence = FENCE.match(quote)
    if fence is None:
        mark = "````" if "```" in quote else "```"
        return f"{mark}\n{quote}\n{mark}"
    mark = fence.group(1)
    closed = quote.count("\n") > 0 and quote.rsplit("\n", 1)[1].strip().startswith(mark)
    return quote if closed else f"{quote}\n{mark}"
