"""XML as a stream of events: memory does not grow with the file, depth costs nothing, and no entity is expanded."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Literal
from xml.parsers import expat

import msgspec

from penstock.core.errors import BadDocument

PIECE_BYTES = 64 * 1024


class Event(msgspec.Struct, frozen=True, gc=False):
    """The start or end of an element, or text. Names come without their namespace: Strict and transitional Office
    files, and all versions of OpenDocument, read the same.
    """

    kind: Literal["start", "end", "text"]
    name: str = ""
    attributes: Mapping[str, str] = {}
    text: str = ""


def events(source: BinaryIO | bytes, *, encoding: str | None = None) -> Iterator[Event]:
    """Events in document order. Raises BadDocument for what is not well-formed or declares entities."""
    parser = new_parser(encoding)
    waiting: list[Event] = []
    parser.StartElementHandler = lambda name, attributes: waiting.append(
        Event("start", local(name), {local(key): value for key, value in attributes.items()} if attributes else {})
    )
    parser.EndElementHandler = lambda name: waiting.append(Event("end", local(name)))
    parser.CharacterDataHandler = lambda text: waiting.append(Event("text", text=text))
    try:
        for _ in feed(parser, source):
            yield from waiting
            waiting.clear()
    except BadDocument:
        yield from waiting
        raise


def new_parser(encoding: str | None = None) -> expat.XMLParserType:
    """A parser that reads no entities and nothing outside the file."""
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    parser.buffer_size = PIECE_BYTES
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = _refuse_entity
    parser.ExternalEntityRefHandler = _refuse_external
    return parser


def feed(parser: expat.XMLParserType, source: BinaryIO | bytes) -> Iterator[None]:
    """Parse piece by piece; yields after each. Raises BadDocument."""
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    while True:
        piece = stream.read(PIECE_BYTES)
        try:
            parser.Parse(piece, not piece)
        except expat.ExpatError as error:
            raise BadDocument("corrupt", f"It is not well-formed XML: {error}.") from error
        yield
        if not piece:
            return


def local(name: str) -> str:
    return name.rpartition(":")[2]


def _refuse_entity(*declaration: object) -> None:
    raise BadDocument(
        "unsupported", f"It declares the XML entity '{declaration[0]}'. Such files are refused: save it without a DTD."
    )


def _refuse_external(*_: object) -> int:
    raise BadDocument("unsupported", "It refers to an external XML entity. Nothing outside a file is ever read.")
