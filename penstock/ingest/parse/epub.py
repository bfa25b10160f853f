"""Books (EPUB): chapters in reading order."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from penstock.core.errors import BadDocument
from penstock.ingest.parse.container import Container
from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.html import add_html
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"


def read_epub(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with Container(content, limits) as container:
        package = _package(container)
        chapters = _chapters(container, package, outline)
        locked = _locked(container)
        for chapter in chapters:
            if chapter in locked:
                raise BadDocument("encrypted", "Its chapters are protected (DRM).")
            if chapter in container:
                add_html(decode(container.read(chapter)), outline, main_only=False)


def _package(container: Container) -> str:
    """The file that lists the parts of the book."""
    if CONTAINER in container:
        for event in container.events(CONTAINER):
            if event.kind == "start" and event.name == "rootfile":
                return event.attributes.get("full-path", "")
    raise BadDocument("corrupt", "It is no EPUB: the list of its parts is missing.")


def _chapters(container: Container, package: str, outline: Outline) -> list[str]:
    folder = posixpath.dirname(package)
    files: dict[str, str] = {}
    order: list[str] = []
    in_title = False
    for event in container.events(package):
        if event.name == "title":
            in_title = event.kind == "start"
        elif event.kind == "text" and in_title and not outline.title:
            outline.title = event.text
        elif event.kind == "start" and event.name == "item":
            path = posixpath.normpath(posixpath.join(folder, unquote(event.attributes.get("href", ""))))
            files[event.attributes.get("id", "")] = path
        elif event.kind == "start" and event.name == "itemref":
            order.append(event.attributes.get("idref", ""))
    return [files[name] for name in order if name in files]


def _locked(container: Container) -> set[str]:
    """Encrypted parts. Fonts are often among them, which keeps nobody from reading."""
    if ENCRYPTION not in container:
        return set()
    return {
        unquote(event.attributes.get("URI", ""))
        for event in container.events(ENCRYPTION)
        if event.kind == "start" and event.name == "CipherReference"
    }
