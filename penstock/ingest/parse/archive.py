"""Archives and compressed files: members are read one after the other, in memory.

Nothing is ever written, so a member's path can lead nowhere; it is only a name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

import msgspec

from penstock.core.errors import BadDocument
from penstock.ingest.parse.container import Container
from penstock.ingest.parse.limits import MIB, ParseLimits
from penstock.ingest.parse.outline import Outline

Member = tuple[str, Callable[[], bytes]]
"""A name, and what gives its bytes. The latter raises BadDocument."""
PIECE_BYTES = 256 * 1024
PACKED_SUFFIXES = (".gz", ".bz2", ".xz")


def read_zip(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with Container(content, limits) as container:
        read_members(_zip_members(container), outline, limits)


def _zip_members(container: Container) -> Iterator[Member]:
    for name, info in container.names.items():
        if not info.is_dir() and not name.startswith("__MACOSX/"):
            yield name, lambda name=name, info=info: _zip_bytes(container, name, info)  # type: ignore[misc]


def _zip_bytes(container: Container, name: str, info: zipfile.ZipInfo) -> bytes:
    _check_ratio(info.file_size, info.compress_size, container.limits)
    content = container.read(name)
    _check_ratio(len(content), info.compress_size, container.limits)
    return content


def read_gzip(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with gzip.open(io.BytesIO(content)) as stream:
        _read_packed(stream, len(content), outline, limits)


def read_bzip2(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with bz2.open(io.BytesIO(content)) as stream:
        _read_packed(stream, len(content), outline, limits)


def read_xz(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    with lzma.open(io.BytesIO(content)) as stream:
        _read_packed(stream, len(content), outline, limits)


def _read_packed(stream: io.BufferedIOBase, packed: int, outline: Outline, limits: ParseLimits) -> None:
    """The one file in a compressed stream, under the name without the ending."""
    unpacked = _unpack(stream, packed, limits)
    name = outline.filename.rpartition("/")[2]
    inner = (
        name.replace(".tgz", ".tar") if name.lower().endswith(".tgz") else name[: -len(_packed_suffix(name)) or None]
    )
    read_members(iter([(inner, lambda: unpacked)]), outline, limits, named=False)


def _packed_suffix(name: str) -> str:
    return next((suffix for suffix in PACKED_SUFFIXES if name.lower().endswith(suffix)), "")


def _unpack(stream: io.BufferedIOBase, packed: int, limits: ParseLimits) -> bytes:
    """Raises BadDocument."""
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := stream.read(PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            _check_ratio(size, packed, limits)
            if size > limits.max_member_bytes:
                raise BadDocument("too_large", f"It unpacks to more than {limits.max_member_bytes:,} bytes.")
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BadDocument("corrupt", f"It is damaged: {error}.") from error
    return b"".join(pieces)


def read_tar(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            read_members(_tar_members(archive, limits), outline, limits)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadDocument("corrupt", f"It is damaged: {error}.") from error


def _tar_members(archive: tarfile.TarFile, limits: ParseLimits) -> Iterator[Member]:
    for info in archive:
        if info.isreg():
            yield info.name, lambda info=info: _tar_bytes(archive, info, limits)  # type: ignore[misc]


def _tar_bytes(archive: tarfile.TarFile, info: tarfile.TarInfo, limits: ParseLimits) -> bytes:
    if info.size > limits.max_member_bytes:
        raise BadDocument("too_large", f"'{info.name}' has more than {limits.max_member_bytes:,} bytes.")
    stream = archive.extractfile(info)
    return stream.read() if stream is not None else b""


def read_members(members: Iterator[Member], outline: Outline, limits: ParseLimits, *, named: bool = True) -> None:
    """Each member under its name. One that cannot be read is skipped and named in the attribute `skipped`.

    Raises BadDocument of the first such member when there is nothing but those.
    """
    from penstock.ingest.parse.registry import read_into  # noqa: PLC0415 - archives hold files of every kind

    if limits.max_depth <= 0:
        raise BadDocument("too_large", "Archives lie in each other too deeply.")
    inner = msgspec.structs.replace(limits, max_depth=limits.max_depth - 1)
    skipped: list[str] = []
    first: BadDocument | None = None
    before, filename = len(outline), outline.filename
    for count, (name, content) in enumerate(members, start=1):
        if count > limits.max_members:
            raise BadDocument("too_large", f"It has more than {limits.max_members:,} members.")
        try:
            data = content()
            outline.filename = name
            if named and data:
                outline.heading(name, 1)
            read_into(data, name, outline, inner)
        except BadDocument as error:
            if error.reason == "too_large" and outline.is_full:
                raise
            first = first or error
            skipped.append(f"{name} ({error.reason})")
        finally:
            outline.filename = filename
    if first is not None:
        if not outline.has_text_after(before):
            raise first
        outline.skipped(skipped)


def _check_ratio(unpacked: int, packed: int, limits: ParseLimits) -> None:
    if unpacked > MIB and unpacked > limits.max_ratio * max(1, packed):
        raise BadDocument("too_large", f"It unpacks to more than {limits.max_ratio} times its size.")
