"""Which reader reads what."""

from __future__ import annotations

from collections.abc import Callable

from penstock.core.errors import BadDocument
from penstock.core.types import Document
from penstock.ingest.parse.detect import detect
from penstock.ingest.parse.docx import read_docx
from penstock.ingest.parse.html import read_html
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.markdown import read_markdown
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.pdf import read_pdf
from penstock.ingest.parse.plain import read_text

Reader = Callable[[bytes, Outline, ParseLimits], None]
"""Writes what it finds into the outline. Raises BadDocument."""

READERS: dict[str, Reader] = {
    "docx": read_docx,
    "html": read_html,
    "markdown": read_markdown,
    "pdf": read_pdf,
    "text": read_text,
}

UNREAD = {
    "binary": "It is no kind of document that is known here.",
    "image": "It is a picture. Its text can be read only after OCR.",
    "media": "It is sound or video.",
    "program": "It is a program.",
    "exe": "It is a program.",
    "bmp": "It is a picture. Its text can be read only after OCR.",
    "archive": "This kind of archive is not read. Unpack it, or make a zip file of it.",
}


def parse(content: bytes, filename: str, limits: ParseLimits) -> Document:
    """The document in a file's bytes. Raises BadDocument; call it in a process that may die."""
    if not content:
        raise BadDocument("empty", "The file is empty.")
    outline = Outline(max_chars=limits.max_output_chars)
    read_into(content, filename, outline, limits)
    if not len(outline):
        raise BadDocument("empty", "There is no text in it.")
    return outline.document(filename)


def read_into(content: bytes, filename: str, outline: Outline, limits: ParseLimits) -> None:
    """Write a file's blocks into an outline that may hold other files' already. Raises BadDocument."""
    kind = detect(content, filename)
    reader = READERS.get(kind)
    if reader is not None:
        reader(content, outline, limits)
    elif kind in {"image", "bmp"}:
        raise BadDocument("no_text", UNREAD[kind])
    else:
        raise BadDocument("unsupported", UNREAD.get(kind, f"Files of kind '{kind}' are not read."))
