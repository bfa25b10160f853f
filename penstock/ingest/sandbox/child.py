"""What a child does between its fork and its end: one file."""

from __future__ import annotations

import gc
import os
import signal
from typing import NoReturn

import msgspec

from penstock.core.errors import BadDocument
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.registry import parse
from penstock.ingest.sandbox import seccomp
from penstock.ingest.sandbox.confine import confine_child, die_with_parent
from penstock.ingest.sandbox.wire import Failed, Job, Outcome, Read, encode

CONTENT, RESULT, FIRST_UNUSED = 3, 4, 5
TOO_LARGE = Failed(reason="too_large", message="Its text is larger than a result may be.")


def run(job: Job, *, content: int, result: int, nothing: int, parent: int, calls: seccomp.Filter | None) -> NoReturn:
    """Never returns, whatever happens: code of the zygote must not run twice."""
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _keep_only(content, result, nothing)
        data = _read(job.size_bytes)
        confine_child(job.limits, calls)
        gc.disable()  # a process of one file frees its memory by ending
        _write(outcome(data, job.filename, job.limits))
        code = 0
    finally:
        os._exit(code)


def outcome(data: bytes, filename: str, limits: ParseLimits) -> Outcome:
    """The document, or why there is none."""
    try:
        return Read(document=parse(data, filename, limits))
    except BadDocument as error:
        return Failed(reason=error.reason, message=error.message)
    except MemoryError:
        megabytes = limits.memory_bytes // (1024 * 1024)
        return Failed(reason="memory", message=f"Reading it takes more than {megabytes} MiB of memory.")
    except RecursionError:
        return Failed(reason="corrupt", message="Its parts are nested too deeply.")
    except Exception as error:  # noqa: BLE001 - a parser met what it was not made for; the file fails by name
        return Failed(reason="corrupt", message=f"Its reader failed ({type(error).__name__}: {str(error)[:200]}).")


def _keep_only(content: int, result: int, nothing: int) -> None:
    """Standard descriptors lead nowhere, the two files have their numbers, all others are closed."""
    content, result = os.dup(content), os.dup(result)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    # Through high numbers, so that neither overwrites the other.
    high = (os.dup(content), os.dup(result))
    while min(high) <= RESULT:
        high = (os.dup(high[0]), os.dup(high[1]))
    os.dup2(high[0], CONTENT, inheritable=False)
    os.dup2(high[1], RESULT, inheritable=False)
    os.closerange(FIRST_UNUSED, os.sysconf("SC_OPEN_MAX"))


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
