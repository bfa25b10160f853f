"""Word's binary documents (DOC, Word 97 to 2003): the text with its paragraphs and tables, without formats."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import olefile

from penstock.core.errors import BadDocument
from penstock.ingest.parse.outline import Outline

MAGIC = 0xA5EC
FLAGS, TEXT_LENGTHS, PIECES = 0x0A, 0x4C, 0x01A2
"""Where in the header these stand."""
ENCRYPTED, SECOND_TABLE = 0x0100, 0x0200
OLDEST = 0xC1
COMPRESSED = 1 << 30
FIELD = re.compile("\x13[^\x13\x14\x15]*\x14|\x13[^\x13\x15]*\x15|[\x14\x15]")
"""A field's instruction goes, its result stays."""
CELL, ROW = "\x07", "\x07\x07"
OTHER = {0x0B: "\n", 0x0C: "\r", 0x1E: "-", 0x1F: None, 0x01: None, 0x08: None, 0x02: None, 0x05: None, 0x13: None}


def read_word(ole: olefile.OleFileIO, outline: Outline) -> None:
    """Raises BadDocument."""
    document = ole.openstream("WordDocument").read()
    try:
        text = "".join(_pieces(ole, document))
    except struct.error as error:
        raise BadDocument("corrupt", "It is damaged: the table of its text cannot be read.") from error
    for _ in range(4):
        text, count = FIELD.subn("", text)  # fields lie within fields
        if not count:
            break
    text = text.translate(OTHER)
    _write(text.split("\r"), outline)


def _write(paragraphs: list[str], outline: Outline) -> None:
    """A cell ends with a mark and a row with one more; a cell may have several paragraphs."""
    table = ""
    for paragraph in paragraphs:
        if not table and CELL not in paragraph:
            outline.paragraph(paragraph)
            continue
        table = f"{table} {paragraph}" if table else paragraph
        rows, _, rest = table.rpartition(ROW)
        if CELL not in rest:
            outline.table(row.split(CELL) for row in rows.split(ROW))
            outline.paragraph(rest)
            table = ""
    if table:
        outline.table(row.split(CELL) for row in table.split(ROW))


def _pieces(ole: olefile.OleFileIO, document: bytes) -> Iterator[str]:
    """The text lies in pieces, in the order of a table in another stream."""
    magic, version = struct.unpack_from("<HH", document, 0)
    flags = struct.unpack_from("<H", document, FLAGS)[0]
    if magic != MAGIC or version < OLDEST:
        raise BadDocument("unsupported", "It was written by a Word older than 97. Save it as .docx.")
    if flags & ENCRYPTED:
        raise BadDocument("encrypted", "It is protected by a password.")
    table = ole.openstream("1Table" if flags & SECOND_TABLE else "0Table").read()
    start, size = struct.unpack_from("<II", document, PIECES)
    ends, places = _piece_table(table[start : start + size])
    for begin, end, place in zip(ends, ends[1:], places, strict=False):
        if end < begin:
            raise BadDocument("corrupt", "It is damaged: the pieces of its text overlap.")
        if place & COMPRESSED:
            offset = (place & ~COMPRESSED) // 2
            yield document[offset : offset + end - begin].decode("cp1252", "replace")
        else:
            yield document[place : place + 2 * (end - begin)].decode("utf-16-le", "replace")


def _piece_table(block: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    position = 0
    while position < len(block) and block[position] == 1:
        position += 3 + struct.unpack_from("<H", block, position + 1)[0]  # formats
    if position >= len(block) or block[position] != 2:
        raise BadDocument("corrupt", "It is damaged: the table of its text is missing.")
    size = struct.unpack_from("<I", block, position + 1)[0]
    count = (size - 4) // 12
    start = position + 5
    if count < 0 or start + size > len(block) + 1:
        raise BadDocument("corrupt", "It is damaged: the table of its text is cut off.")
    ends = struct.unpack_from(f"<{count + 1}I", block, start)
    places = tuple(
        struct.unpack_from("<I", block, start + 4 * (count + 1) + 8 * index + 2)[0] for index in range(count)
    )
    return ends, places
