"""PowerPoint's binary presentations (PPT, 97 to 2003): the texts of slides and notes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import olefile

from penstock.core.errors import BadDocument
from penstock.ingest.parse.outline import Outline

WIDE_TEXT, BYTE_TEXT, ENCRYPTED = 0x0FA0, 0x0FA8, 0x2F14
CONTAINER = 0xF
MASTERS = frozenset({0x03F8})
"""What lies on the master slide is the template's: `click to add a title`."""


def read_slides(ole: olefile.OleFileIO, outline: Outline) -> None:
    """Slides are not told apart, and a text that is kept twice is written once. Raises BadDocument."""
    stream = ole.openstream("PowerPoint Document").read()
    seen: set[str] = set()
    for text in _texts(stream):
        if text.strip() and text not in seen:
            seen.add(text)
            for paragraph in text.replace("\x0b", "\n").split("\r"):
                outline.paragraph(paragraph)


def _texts(stream: bytes) -> Iterator[str]:
    position = 0
    while position + 8 <= len(stream):
        version, kind, size = struct.unpack_from("<HHI", stream, position)
        position += 8
        if kind == ENCRYPTED:
            raise BadDocument("encrypted", "It is protected by a password.")
        if version & 0xF == CONTAINER and kind not in MASTERS:
            continue  # what is in it comes next
        body = stream[position : position + size]
        if kind == WIDE_TEXT:
            yield body.decode("utf-16-le", "replace")
        elif kind == BYTE_TEXT:
            yield body.decode("latin-1")
        position += size
