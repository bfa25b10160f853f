"""What there is to ingest: files, folders, and JSON Lines with a document on each line.

Nothing is loaded before it is asked for, so a million files cost no memory. What cannot be read still is a source:
its `read` says why, so that it is counted and named like every other failure.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import pathspec

from penstock.config import IngestSettings
from penstock.core.errors import BadDocument, InvalidRequest
from penstock.core.types import FailureReason
from penstock.ingest.records import is_records, open_lines

IGNORE_FILE = ".penstockignore"
IGNORED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv"})
RECORD_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


class SourceItem(msgspec.Struct, frozen=True, kw_only=True):
    """One file, or one line of a JSON Lines file.

    A record's bytes came with the line; a file's are read when asked for. `problem` is set for what cannot be read.
    """

    identity: str
    name: str
    stamp: str
    size_bytes: int
    kind: Literal["file", "record"] = "file"
    path: Path | None = None
    line: bytes = b""
    problem: tuple[FailureReason, str] | None = None
    end: int = 0
    """Of a record: where its line ends in the (unpacked) file."""
    number: int = 0
    """Of a record: its line, from 1."""
    of: str = ""
    """Of a record: which file it is in, and in which state that is."""

    def read(self) -> bytes:
        """The content. Blocks. Raises BadDocument."""
        if self.problem is not None:
            raise BadDocument(*self.problem)
        if self.path is None:
            return self.line
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise BadDocument("unreadable", f"Cannot read it: {error.strerror}.") from error


Resume = Callable[[str], tuple[int, int]]
"""Where an interrupted run came to in a file of records: the end of the last line that is done with, and its number."""


def walk(paths: Sequence[Path], *, settings: IngestSettings, resume: Resume | None = None) -> Iterator[SourceItem]:
    """Everything under the paths, a folder by names. Raises InvalidRequest at once for a missing path."""
    for path in paths:
        if not path.exists():
            raise InvalidRequest(f"There is no file or folder {path}.", param="path", code="path_not_found")
    return _walk(paths, settings, resume or (lambda _: (0, 0)))


def _walk(paths: Sequence[Path], settings: IngestSettings, resume: Resume) -> Iterator[SourceItem]:
    for path in paths:
        if path.is_dir():
            root = path.resolve()
            for file in _files_under(root):
                yield from _items(file, file.relative_to(root).as_posix(), root, settings, resume)
        else:
            yield from _items(path.resolve(), path.name, None, settings, resume)


def _files_under(root: Path) -> Iterator[Path]:
    """Files below a folder: no hidden ones, nothing that the folder's ignore file names, no folder twice."""
    ignored = _ignore_rules(root)
    problems: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=problems.append):
        if problems:
            raise InvalidRequest(
                f"Cannot read the folder {problems[0].filename}: {problems[0].strerror}.", param="path"
            )
        here = Path(folder)
        inside = here.relative_to(root)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in IGNORED_FOLDERS
            and not ignored.match_file(f"{(inside / name).as_posix()}/")
        )
        for name in sorted(files):
            if not name.startswith(".") and not ignored.match_file((inside / name).as_posix()):
                yield here / name


def _ignore_rules(root: Path) -> pathspec.GitIgnoreSpec:
    try:
        lines = (root / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"Cannot read {root / IGNORE_FILE}: {error}.", param="path") from error
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _items(file: Path, name: str, root: Path | None, settings: IngestSettings, resume: Resume) -> Iterator[SourceItem]:
    """The file itself, or the documents on its lines."""
    try:
        if root is not None and not file.resolve().is_relative_to(root):
            yield _unusable(file, name, "forbidden", "It is a link that leads out of the folder.")
            return
        status = file.stat()
        if name.lower().endswith(RECORD_SUFFIXES) and is_records(file):
            yield from _records(file, name, settings, resume)
            return
    except OSError as error:
        yield _unusable(file, name, "unreadable", f"Cannot read it: {error.strerror}.")
        return
    problem: tuple[FailureReason, str] | None = None
    if not file.is_file():
        problem = ("unsupported", "It is not a regular file.")
    elif status.st_size > settings.max_file_bytes:
        problem = ("too_large", f"It has {status.st_size} bytes; ingest.max_file_bytes is {settings.max_file_bytes}.")
    elif status.st_size == 0:
        problem = ("empty", "It is empty.")
    yield SourceItem(
        identity=f"file:{file}",
        name=name,
        stamp=f"{status.st_size}:{status.st_mtime_ns}",
        size_bytes=status.st_size,
        path=file,
        problem=problem,
    )


def _records(file: Path, name: str, settings: IngestSettings, resume: Resume) -> Iterator[SourceItem]:
    """One item a line; a line that is no document is an item that says so."""
    try:
        of = state_of(file)
        start, lines = resume(of)
        for number, end, identifier, line, problem in open_lines(
            file, max_line_bytes=settings.max_file_bytes, start=start, number=lines
        ):
            if problem is not None:
                yield _unusable(file, f"{name}:{number}", *problem)
                continue
            yield SourceItem(
                end=end,
                number=number,
                of=of,
                identity=f"record:{identifier}",
                name=identifier,
                stamp=hashlib.blake2b(line, digest_size=16).hexdigest(),
                size_bytes=len(line),
                kind="record",
                line=line,
            )
    except (OSError, EOFError) as error:
        yield _unusable(file, name, "corrupt", f"Reading stopped in the middle: {error}.")


def state_of(file: Path) -> str:
    """Which file it is, and in which state: what a checkpoint in it holds for. Raises OSError."""
    status = file.stat()
    return f"{file}:{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def total_bytes(paths: Sequence[Path]) -> int:
    """How much there is to read, for an estimate of the time; 0 where a compressed file makes it unknown."""
    total = 0
    for path in paths:
        for file in _files_under(path.resolve()) if path.is_dir() else (path,):
            if file.name.lower().endswith((".jsonl.gz", ".ndjson.gz")):
                return 0
            with contextlib.suppress(OSError):
                total += file.stat().st_size
    return total


def _unusable(file: Path, name: str, reason: FailureReason, message: str) -> SourceItem:
    return SourceItem(identity=f"file:{file}:{name}", name=name, stamp="", size_bytes=0, problem=(reason, message))
