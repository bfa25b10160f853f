"""Folders, files and URLs into a store: a run that goes on where it was broken off, and takes out what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from penstock.core.context import Context
from penstock.core.errors import InvalidRequest
from penstock.core.ports import Source
from penstock.core.types import Store
from penstock.pipeline.checkpoint import Checkpoint
from penstock.pipeline.document import Ingestion, Progress

TOGETHER = 64
"""Files taken out at once: they share the index's sync."""
MOST = 0.5
"""A run that would take out a larger share of a store asks first: a folder may only be unmounted."""
FEW = 10


class Seen(Protocol):
    """Where a run writes down which files there are."""

    async def begin(self) -> None: ...

    async def add(self, file_ids: Sequence[str]) -> None: ...

    async def gone(self, store_id: str, *, limit: int) -> list[str]: ...

    async def counts(self, store_id: str) -> tuple[int, int]: ...


MakeRun = Callable[
    [Callable[[Sequence[str]], Awaitable[None]] | None, Callable[[Source], None] | None], Awaitable[Ingestion]
]
"""An ingestion with these two of its parameters: `seen`, `settled`."""


class Intake:
    """One store and its paths. `sources` makes the sources, given where to resume; `detach` takes a file out."""

    def __init__(
        self,
        *,
        store: Store,
        folder: Path,
        fingerprint: str,
        sources: Callable[[Callable[[str], tuple[int, int]] | None], Iterable[Source]],
        make_run: MakeRun,
        seen: Seen,
        detach: Callable[[Store, str, Context], Awaitable[None]],
    ) -> None:
        self._store = store
        self._folder = folder
        self._fingerprint = fingerprint
        self._sources = sources
        self._make_run = make_run
        self._seen = seen
        self._detach = detach

    async def run(self, ctx: Context) -> Progress:
        """Bring in what is new. After a kill, lines of large files that were done with are not read again."""
        checkpoint = Checkpoint(folder=self._folder, fingerprint=self._fingerprint)
        run = await self._make_run(None, lambda source: _note(checkpoint, source))

        def resume(of: str) -> tuple[int, int]:
            end, line = checkpoint.resume(of)
            run.progress.skipped += line
            run.progress.handled_bytes += end
            return end, line

        progress = await run.run(self._sources(resume), ctx)
        checkpoint.forget()
        return progress

    async def run_in_step(self, ctx: Context, *, even_most: bool) -> Progress:
        """Bring in what is new, and then take out what came from files and is gone from them.

        New comes first: a renamed file finds the vectors of the old one. Raises InvalidRequest where most would go.
        """
        await self._seen.begin()
        run = await self._make_run(self._seen.add, None)
        progress = await run.run(self._sources(None), ctx)
        if any(failure.reason == "unreadable" for failure in progress.failures):
            progress.remark = "Nothing was taken out, because something could not be read."
            return progress
        gone, seen = await self._seen.counts(self._store.id)
        if gone and not even_most and (not seen or (gone >= FEW and gone > MOST * (gone + seen))):
            raise InvalidRequest(
                f"{gone} of {gone + seen} files of '{self._store.name}' are gone from the paths. Nothing was taken "
                "out, as a disk may not be mounted. If they are to go: --even-most.",
                param="sync",
            )
        while together := await self._seen.gone(self._store.id, limit=TOGETHER):
            await asyncio.gather(*(self._detach(self._store, file_id, ctx) for file_id in together))
            progress.removed += len(together)
        return progress


def _note(checkpoint: Checkpoint, source: Source) -> None:
    of, end, line = (getattr(source, name, None) for name in ("of", "end", "number"))
    if of:
        assert isinstance(end, int), "records say where they end"
        assert isinstance(line, int), "and which line they are"
        checkpoint.note(of, end, line)
