"""The process that forks one child per file. Runs as `python -I -c …`, see parser.py; its arguments are the socket
and the language data for OCR, if any.
"""

from __future__ import annotations

import encodings
import gc
import importlib
import math
import os
import pkgutil
import selectors
import signal
import socket
import sys
import time
from functools import partial

import msgspec

from penstock.ingest.parse.ocr import LanguageData, Recognizer
from penstock.ingest.sandbox import child, confine, seccomp
from penstock.ingest.sandbox.rehearsal import rehearse
from penstock.ingest.sandbox.wire import LENGTH_BYTES, Cancel, Ended, Job, Reply, Serve, decode_request, packed

LATE = ("heapq", "bisect", "_strptime", "stringprep", "unicodedata", "decimal", "zoneinfo", "locale", "copy")
"""Modules that others import only when they first need them."""
WINDOWS_ONLY = frozenset({"mbcs", "oem"})
MAX_REQUEST_BYTES = 64 * 1024
REPLIES = 1


class Child:
    """One running child. A resident has no deadline here: whoever waits for its answers has one for each file."""

    def __init__(self, request: Job | Serve) -> None:
        self.number = request.number
        self.is_resident = isinstance(request, Serve)
        self.deadline_s = math.inf if self.is_resident else time.monotonic() + request.limits.longest_s
        self.timed_out = False


class Zygote:
    """Takes jobs from the socket, forks, watches, and tells how each child ended."""

    def __init__(self, channel: socket.socket, recognizer: Recognizer | None) -> None:
        self._channel = channel
        self._recognizer = recognizer
        self._children: dict[int, Child] = {}
        self._calls = seccomp.Filter() if seccomp.is_available() else None
        self._wake, wakes = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Until the other side goes away."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            is_open = True
            while is_open:
                for key, _ in selector.select(self._next_deadline_s()):
                    if key.fileobj is self._channel:
                        is_open = self._take()
                    else:
                        os.read(self._wake, 4096)
                self._reap()
                self._kill_late()
        for process in self._children:
            _kill(process)

    def _take(self) -> bool:
        """One request. False when there will be none any more."""
        head, descriptors, _, _ = socket.recv_fds(self._channel, LENGTH_BYTES, 2)
        if not head:
            return False
        body = _exactly(self._channel, int.from_bytes(head, "big"))
        request = decode_request(body)
        if isinstance(request, Cancel):
            for process, running in self._children.items():
                if running.number == request.number:
                    _kill(process)
            return True
        self._fork(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _fork(self, request: Job | Serve, descriptors: list[int]) -> None:
        parent = os.getpid()
        try:
            process = os.fork()
        except OSError:
            _tell(Ended(number=request.number, code=-signal.SIGKILL))
            return
        if process == 0:
            child.in_child(partial(self._work, request, descriptors), parent=parent)
        self._children[process] = Child(request)

    def _work(self, request: Job | Serve, descriptors: list[int]) -> None:
        """In the child."""
        lasting = isinstance(request, Serve)
        confined = partial(confine.confine_child, request.limits, self._calls, lasting=lasting)
        if isinstance(request, Serve):
            child.run_many(request.limits, channel=descriptors[0], confined=confined)
        else:
            child.run_one(
                request,
                content=descriptors[0],
                result=descriptors[1],
                confined=confined,
                recognizer=self._recognizer,
            )

    def _next_deadline_s(self) -> float | None:
        first = min((running.deadline_s for running in self._children.values()), default=math.inf)
        return None if first == math.inf else max(0.0, first - time.monotonic())

    def _kill_late(self) -> None:
        now = time.monotonic()
        for process, running in self._children.items():
            if running.deadline_s <= now:
                running.timed_out = True
                running.deadline_s = math.inf  # until it is reaped there is nothing more to do about it
                _kill(process)

    def _reap(self) -> None:
        while self._children:
            process, status, usage = os.wait4(-1, os.WNOHANG)
            if process == 0:
                return
            running = self._children.pop(process)
            if running.is_resident:
                continue  # its socket has said so
            unit = 1 if sys.platform == "darwin" else 1024
            _tell(
                Ended(
                    number=running.number,
                    code=os.waitstatus_to_exitcode(status),
                    timed_out=running.timed_out,
                    peak_bytes=usage.ru_maxrss * unit,
                )
            )


def _kill(process: int) -> None:
    """A child that is not reaped yet keeps its number, so no stranger is hit."""
    for send in (os.killpg, os.kill):
        try:
            send(process, signal.SIGKILL)
        except ProcessLookupError:
            continue  # its group is not made yet, or it has ended by itself


def _exactly(channel: socket.socket, size: int) -> bytes:
    if size > MAX_REQUEST_BYTES:
        raise ValueError("A request is larger than any can be.")
    body = b""
    while len(body) < size and (piece := channel.recv(size - len(body))):
        body += piece
    return body


def _tell(reply: Reply) -> None:
    view = memoryview(packed(reply))
    while view:
        view = view[os.write(REPLIES, view) :]


def _load_recognizer(argument: str) -> Recognizer | None:
    """Its language data come into memory here, once for all children."""
    data = msgspec.json.decode(argument, type=LanguageData | None)
    if data is None:
        return None
    from penstock.ingest.parse.tesseract import Tesseract  # noqa: PLC0415 - needs the extra `ocr`

    return Tesseract(data)


def _import_ahead(recognizer: Recognizer | None) -> None:
    """A child can open no file, so what Python would load at its first use is loaded here: encodings above all."""
    rehearse(recognizer)
    for name in LATE:
        importlib.import_module(name)
    for module in pkgutil.iter_modules(encodings.__path__):
        if module.name not in WINDOWS_ONLY:
            importlib.import_module(f"encodings.{module.name}")


def main() -> None:
    # The terminal's Ctrl-C is for the server, which then closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    recognizer = _load_recognizer(sys.argv[2])
    _import_ahead(recognizer)
    zygote = Zygote(channel, recognizer)
    _tell(confine.confine_zygote())
    gc.collect()
    gc.freeze()
    zygote.run()
