"""A store that may kill whoever opens it is opened in another process first.

The shard maps its files into memory. A damaged file can make it read where nothing is, and the system then ends the
process (SIGBUS): no error can be caught. So a mark lies in the folder while a store is being opened; one that is still
there at the next start says that the last opening did not end, and only then is the opening rehearsed: it takes half a
second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.core.errors import DataDamaged, Setup
from penstock.search.manifest import remedy

MARK = "opening"
TIMEOUT_S = 600.0
OF_DAMAGE = frozenset({signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE})
"""What a process dies of that reads what should not be there."""
OPEN = "import sys; from qdrant_edge import EdgeShard; EdgeShard.load(sys.argv[1]).close()"


@contextmanager
def opening(folder: Path, segment: Path) -> Iterator[None]:
    """A block that opens the segment. Raises DataDamaged where an earlier opening died, and would again, Setup."""
    mark = folder / MARK
    if mark.exists():
        rehearse(folder, segment)
    try:
        mark.touch()
    except OSError:
        mark = folder  # no room for a mark must not keep a store from being read
    yield
    if mark is not folder:
        mark.unlink(missing_ok=True)


def rehearse(folder: Path, segment: Path) -> None:
    """Open and close the segment in a process of its own. Raises DataDamaged when that dies of it, Setup."""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OPEN, str(segment)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False, env=environment)  # noqa: S603 - our own program
        died = done.returncode
    except subprocess.TimeoutExpired:
        died = -signal.SIGBUS  # whatever keeps it, it does not end
    if died < 0 and -died not in OF_DAMAGE:
        raise Setup(
            f"The opening of the vector store in {folder} was killed by signal {-died}, as when memory runs out. "
            "Nothing says that it is damaged: start again."
        )
    if died < 0:
        raise DataDamaged(f"The vector store in {folder} cannot be opened: a file is damaged. {remedy(folder)}")
