"""Plain text: paragraphs stand between blank lines, and line ends within them stay."""

from __future__ import annotations

import re

from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import ListItem, Outline, clean

PARAGRAPH = re.compile(r"(?:[^\n]*\S[^\n]*\n?)+")
BULLET = re.compile(r"([ \t]*)(?:[-*•‣◦▪·]|(\d{1,3})[.)])[ \t]+(\S.*)")


def read_text(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    add_text(decode(content), outline)


def add_text(text: str, outline: Outline) -> None:
    """Write a text's paragraphs, and its lists where every line is an item."""
    for match in PARAGRAPH.finditer(clean(text)):
        lines = match[0].rstrip("\n").split("\n")
        items = [BULLET.fullmatch(line) for line in lines]
        if len(items) > 1 and all(items):
            outline.list(
                ListItem(item[3], depth=len(item[1].expandtabs(4)) // 2, number=int(item[2]) if item[2] else None)
                for item in items
                if item is not None
            )
        else:
            outline.paragraph(match[0])
