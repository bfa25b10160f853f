"""A model's worker threads, and who goes next.

Work comes in batches of some tens of milliseconds. Between two batches the most urgent one waiting is taken,
first come first served among equals, so a question waits for at most the batch that is running.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from penstock.core.context import Context
from penstock.core.errors import StageUnavailable

R = TypeVar("R")
RANK = {"interactive": 0, "batch": 1, "ingestion": 2}


class Lane:
    """Runs callables on `threads` threads, the most urgent first.

    Work whose future was cancelled, or whose deadline has passed, is dropped when its turn comes.
    """

    def __init__(self, *, threads: int, name: str, stage: str = "embed") -> None:
        self._threads = threads
        self._name = name
        self._stage = stage
        self._waiting: list[tuple[int, int, Callable[[int], None]]] = []
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._executor: ThreadPoolExecutor | None = None

    def start(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=self._threads, thread_name_prefix=self._name)

    def stop(self) -> None:
        """Let running work finish; fail what waits. Blocks for at most the batches that are running."""
        executor, self._executor = self._executor, None
        if executor is not None:
            # What waits still has its turn, and finds there that the lane is closed.
            executor.shutdown(wait=True)

    def submit(self, work: Callable[[], R], ctx: Context) -> Future[R]:
        """The future of `work()`. It raises DeadlineExceeded when the time was up before its turn came."""
        if self._executor is None:
            raise StageUnavailable(self._stage, "the model is not running")
        future: Future[R] = Future()

        def turn() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                if self._executor is None:
                    raise StageUnavailable(self._stage, "the model is stopping")  # noqa: TRY301 - told like any fault
                ctx.check(self._stage)
                result = work()
            except BaseException as error:  # noqa: BLE001 - the caller who awaits the future must hear of anything
                future.set_exception(error)
            else:
                future.set_result(result)

        entry: Any = (RANK[ctx.priority], next(self._order), turn)
        with self._lock:
            heapq.heappush(self._waiting, entry)
        self._executor.submit(self._next)
        return future

    def _next(self) -> None:
        # One call for each push, so there is always something to take; which, the heap decides.
        with self._lock:
            turn: Any = heapq.heappop(self._waiting)[2]
        turn()
