"""The thread that owns a continuous-batching pipeline: add, step, read, hand over, again.

Speaks to the event loop once a step, however many sequences that step served. Knows nothing of text.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from openvino_genai import GenerationFinishReason, GenerationStatus

from penstock.core.errors import PenstockError, StageUnavailable

Finish = Literal["stop", "length"]


class Piece(msgspec.Struct, frozen=True):
    """What one step made for one request."""

    ids: Sequence[int]
    finish: Finish | None


class Request:
    """One sequence. `pieces` is read on the event loop; the rest belongs to the thread."""

    def __init__(self, *, tokens: Any, config: Any) -> None:
        self.tokens = tokens
        self.config = config
        self.pieces: asyncio.Queue[Piece | PenstockError] = asyncio.Queue()
        self.left = False
        self.handle: Any = None

    def fail(self, error: PenstockError) -> None:
        """End the answer with an error; call on the event loop."""
        self.pieces.put_nowait(error)


class Steps:
    """Runs until `stop`. `failure` says why it ended before."""

    def __init__(self, *, pipeline: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._pipeline = pipeline
        self._loop = loop
        self._asked: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._at_work: dict[int, Request] = {}
        self._ids = itertools.count()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="generate-steps", daemon=True)
        self.live = 0
        self.failure: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wait until the thread has ended; answers under way end in StageUnavailable."""
        self._stopping = True
        self._asked.put(None)
        self._thread.join()

    def add(self, request: Request) -> None:
        """Begin it at the next step."""
        self.live += 1
        self._asked.put(request)

    def cancel(self, request: Request) -> None:
        """Its reader has gone: free its sequence at the next step. Doing it to a finished one changes nothing."""
        request.left = True
        self._asked.put(None)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._admit(wait=not self._at_work)
                if self._at_work:
                    self._step()
            self._end(StageUnavailable("generate", "the engine is stopping"))
        except Exception as error:  # noqa: BLE001 - whatever native code throws, every reader has to hear of it
            self.failure = type(error).__name__
            self._end(StageUnavailable("generate", f"the engine has failed ({type(error).__name__}: {error})"))

    def _admit(self, *, wait: bool) -> None:
        while True:
            try:
                request = self._asked.get(block=wait)
            except queue.Empty:
                return
            wait = False
            if request is None:
                continue
            if request.left:
                self._loop.call_soon_threadsafe(self._report, (), 1)
                continue
            number = next(self._ids)
            request.handle = self._pipeline.add_request(number, request.tokens, request.config)
            self._at_work[number] = request

    def _step(self) -> None:
        # Whoever leaves while the pipeline steps has to wait for the next step: only what was cancelled before one has
        # been freed by it.
        leaving = {number for number, request in self._at_work.items() if request.left}
        for number in leaving:
            self._at_work[number].handle.cancel()
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        news: list[tuple[Request, Piece]] = []
        done = set(leaving)
        for number, request in self._at_work.items():
            piece = None if number in leaving else _read(request)
            if piece is not None and (piece.ids or piece.finish):
                news.append((request, piece))
                if piece.finish:
                    done.add(number)
        for number in done:
            del self._at_work[number]
        if news or done:
            self._loop.call_soon_threadsafe(self._report, news, len(done))

    def _report(self, news: Sequence[tuple[Request, Piece]], done: int) -> None:
        self.live -= done
        for request, piece in news:
            request.pieces.put_nowait(piece)

    def _end(self, error: PenstockError) -> None:
        requests = list(self._at_work.values())
        self._at_work.clear()
        while True:
            try:
                request = self._asked.get_nowait()
            except queue.Empty:
                break
            if request is not None:
                requests.append(request)
        for request in requests:
            if request.handle is not None:
                request.handle.cancel()
            self._loop.call_soon_threadsafe(request.fail, error)
        if self.failure is None and self._pipeline.has_non_finished_requests():
            self._pipeline.step()  # frees what was cancelled
        self._loop.call_soon_threadsafe(self._report, (), len(requests))


def _read(request: Request) -> Piece:
    handle = request.handle
    ids: list[int] = []
    finish: Finish | None = None
    while handle.can_read():
        for output in handle.read().values():
            ids += output.generated_ids
            if output.finish_reason != GenerationFinishReason.NONE:
                finish = "length" if output.finish_reason == GenerationFinishReason.LENGTH else "stop"
    if finish is None and handle.get_status() == GenerationStatus.FINISHED:
        finish = "stop"
    return Piece(ids, finish)
