"""JSON Lines, each line a document `{_id, title?, text, attributes?}`: the form of BEIR's corpora."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import msgspec

from penstock.core.errors import BadDocument
from penstock.core.types import AttributeValue, Block, Document, FailureReason

MAX_ATTRIBUTES = 16


class Record(msgspec.Struct, frozen=True):
    """A line. Other fields are allowed and not kept."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] = msgspec.field(name="_id")
    text: str
    title: str | None = None
    attributes: dict[str, AttributeValue] | None = None


class Head(msgspec.Struct, frozen=True):
    """What tells a corpus from other JSON Lines."""

    id: str = msgspec.field(name="_id")
    text: str


_record = msgspec.json.Decoder(Record)
_head = msgspec.json.Decoder(Head)

Line = tuple[int, int, str, bytes, tuple[FailureReason, str] | None]
"""Line number from 1, where it ends, the document's `_id`, the bytes, and what is wrong with them."""


def is_records(file: Path) -> bool:
    """Whether the first line that is not blank is a document. Raises OSError."""
    with _open(file) as stream:
        for _ in range(100):
            line = stream.readline(16 * 1024 * 1024)
            if line.strip():
                try:
                    _head.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    return False
                return True
    return False


def open_lines(file: Path, *, max_line_bytes: int, start: int = 0, number: int = 0) -> Iterator[Line]:
    """Every line from `start` on, the one after line `number`; one in memory at a time.

    Raises OSError, EOFError where a compressed file is cut off.
    """
    with _open(file) as stream:
        stream.seek(start)
        end = start
        while line := stream.readline(max_line_bytes + 1):
            number += 1
            end += len(line)
            if len(line) > max_line_bytes:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(max_line_bytes)
                    end += len(line)
                message = f"The line is over ingest.max_file_bytes ({max_line_bytes})."
                yield number, end, "", b"", ("too_large", message)
            elif line.strip():
                yield _checked(number, end, line.strip())


def document_of(line: bytes) -> Document:
    """The document on a line. Raises BadDocument."""
    record = _decoded(line)
    attributes = record.attributes or {}
    if len(attributes) > MAX_ATTRIBUTES:
        raise BadDocument("corrupt", f"It has {len(attributes)} attributes; {MAX_ATTRIBUTES} are allowed.")
    paragraphs = [part.strip() for part in record.text.replace("\r\n", "\n").split("\n\n")]
    return Document(
        filename=record.id,
        title=(record.title or "").strip(),
        blocks=tuple(Block(kind="paragraph", text=part) for part in paragraphs if part),
        attributes={
            key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
            for key, value in attributes.items()
        },
    )


def _checked(number: int, end: int, line: bytes) -> Line:
    try:
        return number, end, _decoded(line).id, line, None
    except BadDocument as error:
        return number, end, "", line, (error.reason, f"Line {number}: {error.message}")


def _decoded(line: bytes) -> Record:
    try:
        return _record.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadDocument("corrupt", f"It is not a document {{_id, title?, text, attributes?}}: {error}.") from error


def _open(file: Path) -> BinaryIO:
    if file.name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.open(file, "rb"))
    return file.open("rb")
