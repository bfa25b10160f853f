"""XML of any kind: the text of its elements, small ones with their names."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser

from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.xmlstream import Event, events

DECLARATION = re.compile(r"\s*<\?xml[^>]{0,200}\?>")
DECLARED = re.compile(rb"""<\?xml[^>]{0,100}encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,500}>")
"""Feeds carry HTML as the text of an element."""
WORD = re.compile(r"[^\W\d_]{2}")
UNSPOKEN = frozenset(
    {"style", "class", "id", "transform", "d", "points", "fill", "stroke", "lang", "space", "schemaLocation"}
)
LONGEST_VALUE_CHARS = 1000
"""A longer attribute is a drawing or other data."""


def read_xml(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    """What the bytes are is believed more than what they say: UTF-16 may stand under `encoding="UTF-8"`."""
    match = DECLARED.match(content.lstrip()[:300])
    text = decode(content, declared=match[1].decode("ascii") if match else "").lstrip("\ufeff")
    body = DECLARATION.sub("", text, count=1).encode("utf-8", "replace")
    _Reader(outline).read(body)


class _Reader:
    """Leaf elements beside each other are one paragraph of `name: text` lines; text around elements is running text."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._words: list[str] = []
        self._lines: list[str] = []
        self._start: Event | None = None
        """The element that may yet turn out to have no elements in it."""
        self._mixed = False

    def read(self, body: bytes) -> None:
        try:
            for event in events(body, encoding="utf-8"):
                if event.kind == "text":
                    self._words.append(event.text)
                elif event.kind == "start":
                    self._begin(event)
                else:
                    self._end()
        finally:
            self._write()

    def _begin(self, event: Event) -> None:
        text = self._taken()
        if text:
            # Text, then an element within it: running text.
            self._lines.append(text)
            self._mixed = True
        elif self._start is not None:
            # An element within an element: what was gathered belongs to the one around.
            self._write()
            self._lines += _facts(self._start)
        self._start = event

    def _end(self) -> None:
        text = self._taken()
        if self._start is None:
            if text:
                self._lines.append(text)
            self._write()
            return
        start, self._start = self._start, None
        if text:
            facts = [] if self._mixed else _facts(start)
            self._lines += [text if self._mixed else f"{start.name}: {text}", *facts]
        elif start.attributes:
            values = [
                f"{name}={value}" for name, value in start.attributes.items() if 0 < len(value) <= LONGEST_VALUE_CHARS
            ]
            self._lines.append(f"{start.name}: {', '.join(values)}")

    def _taken(self) -> str:
        text = "".join(self._words)
        self._words = []
        if MARKUP.search(text) and (page := LexborHTMLParser(text).body) is not None:
            text = page.text(separator=" ")
        return " ".join(text.split())

    def _write(self) -> None:
        if self._lines:
            self._outline.paragraph((" " if self._mixed else "\n").join(self._lines))
        self._lines, self._mixed = [], False


def _facts(start: Event) -> list[str]:
    """What an element with content says in its attributes, if that is words."""
    spoken = [
        f"{name}={value}"
        for name, value in start.attributes.items()
        if name not in UNSPOKEN and len(value) <= LONGEST_VALUE_CHARS and WORD.search(value) and "://" not in value
    ]
    return [f"{start.name}: {', '.join(spoken)}"] if spoken else []
