"""XML as a stream of events: memory does not grow with the file, depth costs nothing, and no entity is expanded."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import IO, Literal
from xml.parsers import expat

import msgspec

from penstock.core.errors import BadDocument

PIECE_BYTES = 64 * 1024
ALIASES = {"windows-1252": "cp1252", "x-sjis": "cp932"}


class Event(msgspec.Struct, frozen=True, gc=False):
    """The start or end of an element, or text. Names come without their namespace: Strict and transitional Office
    files, and all versions of OpenDocument, read the same.
    """

    kind: Literal["start", "end", "text"]
    name: str = ""
    attributes: Mapping[str, str] = {}
    text: str = ""


def events(source: IO[bytes] | bytes, *, encoding: str | None = None) -> Iterator[Event]:
    """Events in document order. Raises BadDocument for what is not well-formed or declares entities."""
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    parser.buffer_size = PIECE_BYTES
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    waiting: list[Event] = []
    parser.StartElementHandler = lambda name, attributes: waiting.append(
        Event("start", _local(name), {_local(key): value for key, value in attributes.items()} if attributes else {})
    )
    parser.EndElementHandler = lambda name: waiting.append(Event("end", _local(name)))
    parser.CharacterDataHandler = lambda text: waiting.append(Event("text", text=text))
    parser.EntityDeclHandler = _refuse_entity
    parser.ExternalEntityRefHandler = _refuse_external
    while True:
        piece = stream.read(PIECE_BYTES)
        try:
            parser.Parse(piece, not piece)
        except expat.ExpatError as error:
            yield from waiting
            raise BadDocument("corrupt", f"It is not well-formed XML: {error}.") from error
        yield from waiting
        waiting.clear()
        if not piece:
            return


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _refuse_entity(*declaration: object) -> None:
    raise BadDocument(
        "unsupported", f"It declares the XML entity '{declaration[0]}'. Such files are refused: save it without a DTD."
    )


def _refuse_external(*_: object) -> int:
    raise BadDocument("unsupported", "It refers to an external XML entity. Nothing outside a file is ever read.")
