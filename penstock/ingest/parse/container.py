"""Zip files that are documents: parts are read as streams, never onto the disk, and what they inflate to is bounded."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import IO, BinaryIO, Self, cast

from penstock.core.errors import BadDocument
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.xmlstream import Event, events

MAX_PARTS = 100_000


class Container:
    """An OOXML, OpenDocument or EPUB file. Raises BadDocument (corrupt, too_large, encrypted)."""

    def __init__(self, content: bytes, limits: ParseLimits) -> None:
        self._left_bytes = limits.max_unpacked_bytes
        self._limits = limits
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise BadDocument("corrupt", f"It is a damaged zip file: {error}.") from error
        if len(self._zip.filelist) > MAX_PARTS:
            raise BadDocument("too_large", f"It has {len(self._zip.filelist):,} parts; {MAX_PARTS:,} are allowed.")
        self.names = {info.filename: info for info in self._zip.filelist}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def open(self, name: str) -> BinaryIO:
        """A part's bytes. Raises BadDocument."""
        info = self.names.get(name)
        if info is None:
            raise BadDocument("corrupt", f"It has no part '{name}'.")
        if info.flag_bits & 1:
            raise BadDocument("encrypted", "It is protected by a password.")
        try:
            stream = self._zip.open(info)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
            raise BadDocument("corrupt", f"Its part '{name}' cannot be read: {error}.") from error
        return cast("BinaryIO", _Bounded(stream, self, name))

    def read(self, name: str) -> bytes:
        return self.open(name).read()

    def events(self, name: str) -> Iterator[Event]:
        with self.open(name) as stream:
            yield from events(stream)

    def take(self, size: int) -> None:
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise BadDocument("too_large", f"It unpacks to more than {self._limits.max_unpacked_bytes:,} bytes.")

    @property
    def limits(self) -> ParseLimits:
        return self._limits


class _Bounded(io.RawIOBase):
    """Counts what really comes out: the size that a zip file declares may be a lie."""

    def __init__(self, stream: IO[bytes], owner: Container, name: str) -> None:
        self._stream = stream
        self._owner = owner
        self._name = name
        self._left_bytes = owner.limits.max_member_bytes

    def read(self, size: int = -1) -> bytes:
        wanted = self._left_bytes + 1 if size is None or size < 0 else size
        try:
            piece = self._stream.read(wanted)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise BadDocument("corrupt", f"Its part '{self._name}' is damaged: {error}.") from error
        self._left_bytes -= len(piece)
        self._owner.take(len(piece))
        if self._left_bytes < 0:
            limit = self._owner.limits.max_member_bytes
            raise BadDocument("too_large", f"Its part '{self._name}' unpacks to more than {limit:,} bytes.")
        return piece

    def close(self) -> None:
        self._stream.close()
        super().close()


def relations(container: Container, part: str) -> dict[str, tuple[str, str]]:
    """OOXML: what a part refers to, by id: (kind, the part's name). Links to outside are left out."""
    folder, name = posixpath.split(part)
    file = posixpath.join(folder, "_rels", f"{name}.rels")
    if file not in container:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for event in container.events(file):
        if event.kind == "start" and event.name == "Relationship" and event.attributes.get("TargetMode") != "External":
            target = event.attributes.get("Target", "")
            joined = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            kind = event.attributes.get("Type", "").rpartition("/")[2]
            found[event.attributes.get("Id", "")] = (kind, joined)
    return found


def main_part(container: Container) -> str:
    """OOXML: the part that holds the document itself."""
    for kind, name in relations(container, "").values():
        if kind == "officeDocument" and name in container:
            return name
    raise BadDocument("corrupt", "It is no Office file: the part that holds the document is missing.")


def core_title(container: Container) -> str:
    """OOXML and OpenDocument: the title among the file's properties."""
    for part in ("docProps/core.xml", "meta.xml"):
        if part in container:
            inside = False
            for event in container.events(part):
                if event.kind == "text" and inside:
                    return event.text
                inside = event.kind == "start" and event.name == "title"
    return ""
