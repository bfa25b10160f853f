"""Which reader reads what."""

from __future__ import annotations

from collections.abc import Callable

from penstock.core.errors import BadDocument
from penstock.core.types import Document
from penstock.ingest.parse.archive import read_bzip2, read_gzip, read_tar, read_xz, read_zip
from penstock.ingest.parse.code import read_code
from penstock.ingest.parse.delimited import read_delimited
from penstock.ingest.parse.detect import detect
from penstock.ingest.parse.docx import read_docx
from penstock.ingest.parse.epub import read_epub
from penstock.ingest.parse.html import read_html
from penstock.ingest.parse.jsontext import read_json, read_jsonl
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.mail import read_mail
from penstock.ingest.parse.markdown import read_markdown
from penstock.ingest.parse.ocr import Ocr
from penstock.ingest.parse.odf import read_odf
from penstock.ingest.parse.ole import read_ole
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.pdf import read_pdf
from penstock.ingest.parse.picture import read_picture
from penstock.ingest.parse.plain import read_text
from penstock.ingest.parse.pptx import read_pptx
from penstock.ingest.parse.rtf import read_rtf
from penstock.ingest.parse.xlsx import read_xlsx
from penstock.ingest.parse.xmltext import read_xml

Reader = Callable[[bytes, Outline, ParseLimits], None]
"""Writes what it finds into the outline. Raises BadDocument."""

READERS: dict[str, Reader] = {
    "bzip2": read_bzip2,
    "code": read_code,
    "delimited": read_delimited,
    "docx": read_docx,
    "epub": read_epub,
    "gzip": read_gzip,
    "html": read_html,
    "image": read_picture,
    "json": read_json,
    "jsonl": read_jsonl,
    "mail": read_mail,
    "markdown": read_markdown,
    "odf": read_odf,
    "ole": read_ole,
    "pdf": read_pdf,
    "pptx": read_pptx,
    "rtf": read_rtf,
    "tar": read_tar,
    "text": read_text,
    "xlsx": read_xlsx,
    "xml": read_xml,
    "xz": read_xz,
    "zip": read_zip,
}

UNREAD = {
    "binary": "It is no kind of document that is known here.",
    "other_image": "It is a picture, and none of PNG, JPEG, TIFF, WebP and BMP, which OCR can read.",
    "media": "It is sound or video.",
    "program": "It is a program.",
    "exe": "It is a program.",
    "archive": "This kind of archive is not read. Unpack it, or make a zip file of it.",
}


def parse(content: bytes, filename: str, limits: ParseLimits, ocr: Ocr | None = None) -> Document:
    """The document in a file's bytes. Raises BadDocument; call it in a process that may die."""
    outline = Outline(filename=filename, max_chars=limits.max_output_chars, ocr=ocr)
    read_into(content, filename, outline, limits)
    if not len(outline):
        raise BadDocument("empty", "There is no text in it.")
    return outline.document()


def read_into(content: bytes, filename: str, outline: Outline, limits: ParseLimits) -> None:
    """Write a file's blocks into an outline that may hold other files' already. Raises BadDocument."""
    if not content:
        raise BadDocument("empty", "The file is empty.")
    kind = detect(content, filename)
    reader = READERS.get(kind)
    if reader is not None:
        reader(content, outline, limits)
    elif kind == "misnamed":
        raise BadDocument("corrupt", "Its name says that it is of another format than its content.")
    elif kind == "other_image":
        raise BadDocument("no_text", UNREAD[kind])
    else:
        raise BadDocument("unsupported", UNREAD.get(kind, f"Files of kind '{kind}' are not read."))
