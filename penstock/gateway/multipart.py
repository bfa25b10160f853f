"""An uploaded file, read as it arrives: parsed, hashed and written by a thread, a piece at a time.

The event loop only hands pieces on. Nothing is kept of an upload that breaks off.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header
from starlette.types import Receive, Scope

from penstock.catalog.originals import Incoming
from penstock.core.errors import InvalidRequest, TooLarge, UnsupportedParameter
from penstock.gateway.errors import ClientGone
from penstock.gateway.receive import SlowBody, WrongMediaType

T = TypeVar("T")

PIECE_BYTES = 1024 * 1024
MAX_FIELD_BYTES = 4096
MAX_PARTS = 16
MAX_NAME_BYTES = 255
OVERHEAD_BYTES = 64 * 1024
"""What the boundaries and heads of a form may add to its file."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Characters that show nothing, or turn what stands behind them."""


class Form:
    """What has arrived of a form with one file, in its field `part`. Synchronous: called by a thread."""

    def __init__(self, *, boundary: bytes, incoming: Incoming, part: str = "file") -> None:
        self._parser = PushMultipartParser(boundary, max_header_size=8192, max_segment_count=MAX_PARTS, strict=True)
        self._incoming = incoming
        self._part = part
        self._segment: MultipartSegment | None = None
        self._value = bytearray()
        self.fields: dict[str, str] = {}
        self.filename: str | None = None

    def feed(self, piece: bytes) -> None:
        """Raises InvalidRequest, TooLarge, DiskFull."""
        if not piece:
            return
        try:
            for event in self._parser.parse(piece):
                self._take(event)
        except ParserLimitReached as error:
            raise InvalidRequest("A part of the form has too long a head, or there are too many.") from error
        except (MultipartError, UnicodeDecodeError) as error:
            raise _broken(str(error)) from error

    def end(self) -> None:
        """Raises InvalidRequest for a form that is not complete."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise _broken("it ends in the middle") from error
        if self.filename is None:
            raise InvalidRequest(f"'{self._part}' is missing.", param=self._part, code="missing_required_parameter")

    def _take(self, event: MultipartSegment | bytearray | bytes | None) -> None:
        if isinstance(event, MultipartSegment):
            self._segment = event
            self._value.clear()
            self._begin(event)
        elif event is None:
            assert self._segment is not None, "a part ends after it began"
            if self._segment.name != self._part:
                self._field(self._segment.name or "", bytes(self._value))
        elif self._segment is not None and self._segment.name == self._part:
            self._incoming.write(bytes(event))
        else:
            self._value += event
            if len(self._value) > MAX_FIELD_BYTES:
                raise TooLarge("A field of the form is too long.")

    def _begin(self, segment: MultipartSegment) -> None:
        if segment.name == self._part:
            if self.filename is not None:
                raise InvalidRequest(f"'{self._part}' is given twice.", param=self._part)
            if segment.filename is None:
                raise InvalidRequest(f"'{self._part}' is not a file: it has no filename.", param=self._part)
            # The name of a part of an upload is nothing that anybody will see.
            self.filename = clean_name(segment.filename) if self._part == "file" else segment.filename

    def _field(self, name: str, value: bytes) -> None:
        if name in self.fields:
            raise InvalidRequest(f"'{name}' is given twice.", param=name)
        try:
            self.fields[name] = value.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"'{name}' is not UTF-8.", param=name) from error


async def read_form(
    *,
    scope: Scope,
    receive: Receive,
    incoming: Incoming,
    executor: ThreadPoolExecutor,
    max_bytes: int,
    timeout_s: float,
    part: str = "file",
) -> Form:
    """The whole form, its file in `incoming`. Raises what a caller did wrong; ClientGone."""
    form = Form(boundary=_boundary(scope, max_bytes, part), incoming=incoming, part=part)
    waiting = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                waiting += message.get("body", b"")
                more = message.get("more_body", False)
                if len(waiting) >= PIECE_BYTES or not more:
                    await _run(executor, partial(form.feed, bytes(waiting)))
                    waiting.clear()
    except TimeoutError as error:
        raise SlowBody("The file did not arrive in time.") from error
    await _run(executor, form.end)
    return form


def known_fields(form: Form, names: frozenset[str]) -> dict[str, str]:
    """The form's fields. Raises UnsupportedParameter for one that we do not know."""
    for name in form.fields:
        if name not in names:
            raise UnsupportedParameter(name.partition("[")[0] or "field")
    return form.fields


def clean_name(name: str) -> str:
    """A file's name as it is shown: without folders and without characters that nobody sees. Raises InvalidRequest."""
    if "\0" in name:
        raise InvalidRequest("The file's name has a NUL character.", param="file")
    last = re.split(r"[/\\]", name)[-1]
    seen = "".join(c for c in unicodedata.normalize("NFC", last) if unicodedata.category(c) not in UNSEEN).strip()
    if seen in ("", ".", ".."):
        raise InvalidRequest("The file has no name.", param="file")
    if len(seen.encode()) > MAX_NAME_BYTES:
        raise InvalidRequest(f"The file's name is over {MAX_NAME_BYTES} bytes.", param="file")
    return seen


def _boundary(scope: Scope, max_bytes: int, part: str) -> bytes:
    media_type, said_bytes = "", 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            media_type = value.decode("latin-1")
        elif name == b"content-length":
            said_bytes = int(value)
    if said_bytes > max_bytes + OVERHEAD_BYTES:
        raise TooLarge(f"It is over the limit of {max_bytes} bytes.", param=part)
    kind, options = parse_options_header(media_type)
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data" or not re.fullmatch(r"[\x20-\x7e]{1,200}", boundary):
        raise WrongMediaType("Send a form, with the header 'Content-Type: multipart/form-data; boundary=…'.")
    return bytes(boundary.encode("ascii"))


async def _run(executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work)


def _broken(detail: str) -> InvalidRequest:
    return InvalidRequest(f"The form is broken: {detail}.", code="invalid_form")
