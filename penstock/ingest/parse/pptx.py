"""Presentations (PPTX): slides in their order, a slide is a page."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.ingest.parse.container import Container, core_title, main_part, relations
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import ListItem, Outline
from penstock.ingest.parse.xmlstream import Event

TITLES = frozenset({"title", "ctrTitle"})
FURNITURE = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})
"""Slide numbers, dates, footers, the picture of the slide on its notes."""


def read_pptx(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with Container(content, limits) as container:
        part = main_part(container)
        outline.title = core_title(container)
        related = relations(container, part)
        order = [
            event.attributes.get("id", "")
            for event in container.events(part)
            if event.kind == "start" and event.name == "sldId"
        ]
        slides = [related[name][1] for name in order if name in related]
        for number, slide in enumerate(slides, start=1):
            if slide in container:
                outline.page = number
                _read_slide(container, slide, outline)


def _read_slide(container: Container, slide: str, outline: Outline) -> None:
    _Shapes(outline).read(container.events(slide))
    for kind, part in relations(container, slide).values():
        if part not in container:
            continue
        if kind == "diagramData":
            texts = _texts(container.events(part))
            outline.list(ListItem(text) for text in texts)
        elif kind == "notesSlide":
            _Shapes(outline).read(container.events(part))


def _texts(stream: Iterator[Event]) -> Iterator[str]:
    """Paragraphs of a diagram."""
    words: list[str] = []
    inside = False
    for event in stream:
        if event.kind == "text":
            if inside:
                words.append(event.text)
        elif event.name == "t":
            inside = event.kind == "start"
        elif event.kind == "end" and event.name == "p" and words:
            yield "".join(words)
            words = []


class _Shapes:
    """Shapes in the order of the file; groups are gone through."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._role = ""
        self._paragraphs: list[tuple[int, str]] = []
        self._words: list[str] = []
        self._depth = 0
        self._rows: list[list[str]] | None = None
        self._in_text = False
        self._skipping = 0

    def read(self, stream: Iterator[Event]) -> None:
        for event in stream:
            if event.kind == "text":
                if self._in_text and not self._skipping:
                    self._words.append(event.text)
            elif event.name == "Fallback":
                self._skipping += 1 if event.kind == "start" else -1
            elif self._skipping:
                continue
            elif event.kind == "start":
                self._start(event)
            else:
                self._end(event.name)

    def _start(self, event: Event) -> None:
        name = event.name
        if name == "sp":
            self._role, self._paragraphs = "", []
        elif name == "ph":
            self._role = event.attributes.get("type", "body")
        elif name == "t":
            self._in_text = True
        elif name == "pPr":
            level = event.attributes.get("lvl", "0")
            self._depth = int(level) if level in set("012345678") else 0
        elif name == "br":
            self._words.append("\n")
        elif name == "tbl":
            self._rows = []
        elif name == "tr" and self._rows is not None:
            self._rows.append([])
        elif name == "tc":
            self._paragraphs = []

    def _end(self, name: str) -> None:
        if name == "t":
            self._in_text = False
        elif name == "p":
            text = "".join(self._words).strip()
            if text:
                self._paragraphs.append((self._depth, text))
            self._words, self._depth = [], 0
        elif name == "tc" and self._rows:
            self._rows[-1].append(" ".join(text for _, text in self._paragraphs))
            self._paragraphs = []
        elif name == "tbl" and self._rows is not None:
            self._outline.table(self._rows)
            self._rows = None
        elif name == "sp":
            self._write()

    def _write(self) -> None:
        paragraphs, self._paragraphs = self._paragraphs, []
        if self._role in FURNITURE or not paragraphs:
            return
        if self._role in TITLES:
            self._outline.heading(" ".join(text for _, text in paragraphs), 1)
        elif self._role and len(paragraphs) > 1:
            self._outline.list(ListItem(text, depth=depth) for depth, text in paragraphs)
        else:
            for _, text in paragraphs:
                self._outline.paragraph(text)
