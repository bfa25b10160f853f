"""What a child does between its fork and its end."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
from collections.abc import Callable
from typing import NoReturn

import msgspec

from penstock.core.errors import BadDocument
from penstock.ingest.parse.detect import CHEAP, detect
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import Ocr, Recognizer
from penstock.ingest.parse.registry import parse
from penstock.ingest.sandbox import confine
from penstock.ingest.sandbox.confine import die_with_parent
from penstock.ingest.sandbox.wire import (
    LENGTH_BYTES,
    Elsewhere,
    Failed,
    Job,
    Outcome,
    Read,
    decode_file,
    encode,
    packed,
)

CONTENT, RESULT, FIRST_UNUSED = 3, 4, 5
TOO_LARGE = Failed(reason="too_large", message="Its text is larger than a result may be.")


def run_one(
    job: Job, *, content: int, result: int, confined: Callable[[], None], recognizer: Recognizer | None
) -> None:
    """Read one file. `content` and `result` are descriptors; `confined` gives everything else up."""
    _keep_only(content, result)
    data = _read(job.size_bytes)
    confined()
    gc.disable()  # a process of one file frees its memory by ending
    ocr = None
    if recognizer is not None:
        ocr = Ocr(recognizer=recognizer, limits=job.limits, begin=confine.allow_longest)
    _write(outcome(data, job.filename, job.limits, ocr))


def run_many(limits: ParseLimits, *, channel: int, confined: Callable[[], None]) -> None:
    """Read files from a socket until it ends. Kinds that deserve a process of their own are sent back."""
    _keep_only(channel, channel)
    confined()
    while (body := _framed(limits)) is not None:
        file = decode_file(body)
        answer: Outcome | Elsewhere = Elsewhere()
        if detect(file.content, file.filename) in CHEAP:
            answer = outcome(file.content, file.filename, limits)
        view = memoryview(packed(answer))
        while view:
            view = view[os.write(RESULT, view) :]


def in_child(work: Callable[[], None], *, parent: int) -> NoReturn:
    """Never returns, whatever happens: code of the zygote must not run twice."""
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        work()
        code = 0
    finally:
        os._exit(code)


def outcome(data: bytes, filename: str, limits: ParseLimits, ocr: Ocr | None = None) -> Outcome:
    """The document, or why there is none."""
    try:
        return Read(document=parse(data, filename, limits, ocr))
    except BadDocument as error:
        return Failed(reason=error.reason, message=error.message)
    except MemoryError:
        megabytes = limits.memory_bytes // (1024 * 1024)
        return Failed(reason="memory", message=f"Reading it takes more than {megabytes} MiB of memory.")
    except RecursionError:
        return Failed(reason="corrupt", message="Its parts are nested too deeply.")
    except Exception as error:  # noqa: BLE001 - a parser met what it was not made for; the file fails by name
        return Failed(reason="corrupt", message=f"Its reader failed ({type(error).__name__}: {str(error)[:200]}).")


def _keep_only(content: int, result: int) -> None:
    """Standard descriptors lead nowhere, the two given ones have their numbers, all others are closed."""
    # Through high numbers, so that neither overwrites the other.
    high_content = fcntl.fcntl(content, fcntl.F_DUPFD, FIRST_UNUSED)
    high_result = fcntl.fcntl(result, fcntl.F_DUPFD, FIRST_UNUSED)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.dup2(high_content, CONTENT)
    os.dup2(high_result, RESULT)
    os.closerange(FIRST_UNUSED, os.sysconf("SC_OPEN_MAX"))


def _framed(limits: ParseLimits) -> bytes | None:
    head = _exactly(LENGTH_BYTES)
    length = int.from_bytes(head, "big")
    if len(head) < LENGTH_BYTES or length > 2 * limits.max_file_bytes:
        return None
    body = _exactly(length)
    return body if len(body) == length else None


def _exactly(size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0 and (piece := os.read(CONTENT, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _read(size: int) -> bytes:
    pieces: list[bytes] = []
    position = 0
    while position < size and (piece := os.pread(CONTENT, size - position, position)):
        pieces.append(piece)
        position += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _write(found: Outcome) -> None:
    try:
        _write_all(encode(found))
    except OSError:
        _write_all(encode(TOO_LARGE))
    except (MemoryError, msgspec.MsgspecError, UnicodeEncodeError) as error:
        _write_all(encode(Failed(reason="memory", message=f"Its text cannot be handed on ({type(error).__name__}).")))


def _write_all(body: bytes) -> None:
    view = memoryview(body)
    position = 0
    while position < len(view):
        position += os.pwrite(RESULT, view[position:], position)
    os.ftruncate(RESULT, len(view))
