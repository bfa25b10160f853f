"""Outlook's messages (MSG): properties of the message as streams of an OLE2 file."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterator

import msgspec
import olefile

from penstock.core.errors import BadDocument
from penstock.ingest.parse.archive import Member
from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.html import add_html
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.mail import add_header, read_attachments
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.plain import add_text
from penstock.ingest.parse.rtf import rtf_text, unpacked_rtf

SUBJECT, SENDER, SENDER_ADDRESS, TO, CC = "0037", "0C1A", "0C1F", "0E04", "0E03"
BODY, HTML, RTF = "1000", "1013", "1009"
LONG_NAME, SHORT_NAME, DATA, DISPLAY_NAME = "3707", "3704", "3701", "3001"
SENT = 0x00390040
UNICODE, BYTES_TEXT, BINARY, STORAGE = "001F", "001E", "0102", "000D"
EPOCH = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)
ATTACHMENT = "__attach_version1.0_"


def read_message(ole: olefile.OleFileIO, path: list[str], outline: Outline, limits: ParseLimits) -> None:
    """The message in a storage of the file; a message may be attached to another."""
    sender, address = _text(ole, path, SENDER), _text(ole, path, SENDER_ADDRESS)
    sender = f"{sender} <{address}>".strip() if address else sender
    fields = {"From": sender, "To": _text(ole, path, TO), "Cc": _text(ole, path, CC), "Date": _sent(ole, path)}
    add_header(outline, subject=_text(ole, path, SUBJECT), fields=fields)
    _body(ole, path, outline)
    inner = msgspec.structs.replace(limits, max_depth=limits.max_depth - 1)
    names = sorted({entry[len(path)] for entry in ole.listdir() if _is_attachment(entry, path)})
    for name in names[: limits.max_members]:
        # A message within the message has no bytes of its own: it is a storage of this file.
        message = [*path, name, f"__substg1.0_{DATA}{STORAGE}"]
        if ole.exists(message) and inner.max_depth > 0:
            read_message(ole, message, outline, inner)
    read_attachments(_attachments(ole, path, names), outline, limits)


def _body(ole: olefile.OleFileIO, path: list[str], outline: Outline) -> None:
    """Plain text, else HTML, else rich text."""
    if (text := _text(ole, path, BODY)).strip():
        add_text(text, outline)
    elif html := _bytes(ole, path, HTML + BINARY):
        add_html(decode(html), outline, main_only=False)
    elif packed := _bytes(ole, path, RTF + BINARY):
        add_text(rtf_text(unpacked_rtf(packed)), outline)


def _is_attachment(entry: list[str], path: list[str]) -> bool:
    return len(entry) > len(path) and entry[: len(path)] == path and entry[len(path)].startswith(ATTACHMENT)


def _attachments(ole: olefile.OleFileIO, path: list[str], names: list[str]) -> Iterator[Member]:
    for name in names:
        here = [*path, name]
        if ole.exists([*here, f"__substg1.0_{DATA}{BINARY}"]):
            title = _text(ole, here, LONG_NAME) or _text(ole, here, SHORT_NAME) or _text(ole, here, DISPLAY_NAME)
            yield title or "attachment", lambda here=here: _bytes(ole, here, DATA + BINARY)  # type: ignore[misc]


def _text(ole: olefile.OleFileIO, path: list[str], name: str) -> str:
    if found := _bytes(ole, path, name + UNICODE):
        return found.decode("utf-16-le", "replace").rstrip("\0").strip()
    return decode(_bytes(ole, path, name + BYTES_TEXT).rstrip(b"\0")).strip()


def _bytes(ole: olefile.OleFileIO, path: list[str], name: str) -> bytes:
    stream = [*path, f"__substg1.0_{name}"]
    if not ole.exists(stream):
        return b""
    content = ole.openstream(stream).read()
    assert isinstance(content, bytes)
    return content


def _sent(ole: olefile.OleFileIO, path: list[str]) -> str:
    """When it was sent, from the table of properties that have a fixed size."""
    stream = [*path, "__properties_version1.0"]
    if not ole.exists(stream):
        return ""
    table = ole.openstream(stream).read()
    for position in range(24 if path else 32, len(table) - 15, 16):
        tag, _, ticks = struct.unpack_from("<IIQ", table, position)
        if tag == SENT and ticks < 2**60:
            try:
                return (EPOCH + dt.timedelta(microseconds=ticks // 10)).isoformat(" ", "seconds")
            except OverflowError as error:
                raise BadDocument("corrupt", "Its date is impossible.") from error
    return ""
