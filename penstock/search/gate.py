"""A gate between searches and the instant at which a write becomes visible."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Many pass together, or one alone. A waiting writer goes before searches that come after it.

    Weakness: a search that starts while a writer waits, waits for the longest search under way; so the
    writer's part must be short (a commit takes about a millisecond), and everything slow in a write
    (inserting, syncing) happens outside the gate.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the gate together with other readers."""
        with self._changed:
            while self._writing or self._writers_waiting:
                self._changed.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if not self._readers:
                    self._changed.notify_all()

    @property
    def writers_waiting(self) -> int:
        """Writers that have come and are not inside yet."""
        return self._writers_waiting

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the gate with nobody else inside."""
        with self._changed:
            self._writers_waiting += 1
            try:
                while self._writing or self._readers:
                    self._changed.wait()
            finally:
                self._writers_waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
