"""The embedded index of one vector store, on Qdrant Edge."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from penstock.config import SearchSettings
from penstock.core.context import Context
from penstock.core.errors import DataDamaged, DiskFull, Setup
from penstock.core.types import Entry, Found, Query, Removal, Vector, Vectors
from penstock.search.compaction import compact, is_worthwhile, remove_leftovers
from penstock.search.dump import Line, line_of
from penstock.search.live import LiveSegment, SegmentClosed
from penstock.search.manifest import Manifest, read_manifest, remedy, write_manifest
from penstock.search.proof import check_shapes, take_sums, write_sums
from penstock.search.rehearsal import opening
from penstock.search.search import search_segment
from penstock.search.translate import translated
from penstock.search.words import MEAN_WORDS, Words

log = logging.getLogger("penstock.search")

T = TypeVar("T")
LOOKED_UP_AT_ONCE = 256
"""Vectors that are asked for together: a book's, all at once, would keep others from the index."""
LOOK_EVERY_WRITES = 64
"""How often it is asked whether to tidy up."""


class Write(NamedTuple):
    """A write that waits for its turn, and who waits for it."""

    upserts: Sequence[Entry]
    vectors: Vectors
    removals: Sequence[Removal]
    done: asyncio.Future[None]


def free_bytes(folder: Path) -> int:
    """Room left on the disk of `folder`."""
    return shutil.disk_usage(folder).free


class EdgeIndex:
    """Implements core.ports.Index for one vector store in `folder`.

    Searches run in threads of their own. Writes that wait at the same time are applied one after
    another, in the order they came, and synced to disk together.
    """

    def __init__(
        self,
        *,
        folder: Path,
        store_id: str,
        model: str,
        dimension: int,
        settings: SearchSettings,
        room: Callable[[Path], int] = free_bytes,
        reuse_vectors: bool = True,
    ) -> None:
        self._folder = folder
        self._store_id = store_id
        self._model = model
        self._dimension = dimension
        self._settings = settings
        self._room = room
        self._reuse_vectors = reuse_vectors
        self._live: LiveSegment | None = None
        self._writes = 0
        self._manifest: Manifest | None = None
        self._words: Words | None = None
        self._searchers: ThreadPoolExecutor | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._waiting: list[Write] = []
        self._draining: asyncio.Task[None] | None = None

    # --- starting and stopping ---

    async def start(self) -> None:
        """Open the store, or make it. Raises Setup where it holds another model's vectors, DataDamaged, DiskFull."""
        threads = self._settings.threads or os.cpu_count() or 1
        self._searchers = ThreadPoolExecutor(threads, thread_name_prefix=f"search-{self._store_id}")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"index-{self._store_id}")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open)
        except BaseException:
            self._shut_threads()
            raise

    async def stop(self) -> None:
        """Let writes that were accepted finish, then close. A stopped index can be started again."""
        if self._draining is not None:
            await self._draining
        if self._writer is not None and self._live is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._close)
        self._shut_threads()

    def _shut_threads(self) -> None:
        for executor in (self._searchers, self._writer):
            if executor is not None:
                executor.shutdown(wait=True)
        self._searchers = self._writer = None

    def _open(self) -> None:
        manifest = read_manifest(self._folder) or self._make()
        if (manifest.model, manifest.dimension) != (self._model, self._dimension):
            raise Setup(
                f"The vector store in {self._folder} was made with the embedding model '{manifest.model}' "
                f"({manifest.dimension} dimensions), and the one in use is '{self._model}' ({self._dimension}). "
                "Vectors of two models do not mix: set the old model again, or make a new store and ingest into it."
            )
        live = self._segment(manifest)
        if not live.exists():
            raise DataDamaged(f"{self._folder} has lost its segment '{manifest.segments[-1]}'. {remedy(self._folder)}")
        with translated(self._folder):
            remove_leftovers(self._folder, manifest)
            proved = take_sums(self._folder, manifest.segments)
            if not proved:
                check_shapes(self._folder, manifest.segments)
        with opening(self._folder, self._folder / manifest.segments[-1]):
            live.open()
            # Nothing says what the files were when the process died: every passage is looked at instead.
            with translated(self._folder):
                damaged = 0 if proved else live.damaged()
        if damaged:
            live.close()
            raise DataDamaged(f"{damaged} passages in {self._folder} are damaged. {remedy(self._folder)}")
        if manifest.chunks_at_rest not in (None, live.count()):
            lost = manifest.chunks_at_rest - live.count()
            live.close()
            raise DataDamaged(f"{lost} chunks are missing from {self._folder}. {remedy(self._folder)}")
        if self._reuse_vectors:
            live.find_by_text()
        self._words = Words(mean_words=manifest.mean_words, language=manifest.language)
        self._live, self._manifest = live, manifest

    def _close(self) -> None:
        live, _ = self._opened()
        self._live = None
        live.close()
        try:
            self._at_rest(live.count())
            with translated(self._folder):
                write_sums(self._folder, self._segments())
        except DiskFull as error:
            log.warning("%s Its passages will be looked at one by one at the next start.", error.message)

    def _segments(self) -> tuple[str, ...]:
        assert self._manifest is not None, "not opened"
        return self._manifest.segments

    def _at_rest(self, chunks: int | None) -> None:
        """Note in the manifest how many chunks lie there unchanging, or that they change."""
        assert self._manifest is not None, "not opened"
        if self._manifest.chunks_at_rest != chunks:
            with translated(self._folder):
                self._manifest = msgspec.structs.replace(self._manifest, chunks_at_rest=chunks)
                write_manifest(self._folder, self._manifest)

    def _segment(self, manifest: Manifest) -> LiveSegment:
        words = Words(mean_words=manifest.mean_words, language=manifest.language)
        return LiveSegment(folder=self._folder / manifest.segments[-1], manifest=manifest, words=words)

    def _make(self) -> Manifest:
        """A new store. Its manifest comes last: a folder without one holds nothing that was acknowledged."""
        manifest = Manifest(
            model=self._model,
            dimension=self._dimension,
            vector_bits=self._settings.vector_bits,
            mean_words=MEAN_WORDS,
            language=self._settings.language,
        )
        self._check_room(0)
        live = self._segment(manifest)
        with translated(self._folder):
            if live.exists():
                live.open()
                if live.count():
                    raise DataDamaged(f"{self._folder} holds chunks but no manifest. {remedy(self._folder)}")
                live.close()
            else:
                live.create()
            write_manifest(self._folder, manifest)
        return manifest

    # --- searching ---

    async def search(self, query: Query, vector: Vector, ctx: Context) -> Found:
        """The best `query.limit` chunks by meaning and by words together. Raises InvalidRequest for a bad filter."""
        return (await self.search_many([(query, vector)], ctx))[0]

    async def search_many(self, questions: Sequence[tuple[Query, Vector]], ctx: Context) -> list[Found]:
        """Several questions in one pass over the store, each answered as if it had come alone."""
        ctx.check("search")
        if not questions:
            return []
        assert self._searchers is not None, "not started"
        return await asyncio.get_running_loop().run_in_executor(self._searchers, self._search, questions, ctx)

    def _search(self, questions: Sequence[tuple[Query, Vector]], ctx: Context) -> list[Found]:
        ctx.check("search")  # the queue for a thread may have used up the time

        def work(live: LiveSegment, words: Words) -> list[Found]:
            return search_segment(live, questions, words=words, settings=self._settings, store_id=self._store_id)

        return self._on_live(work)

    def _on_live(self, work: Callable[[LiveSegment, Words], T]) -> T:
        """Read; again where another segment has just taken the place of the one that was being read."""
        while True:
            live, words = self._opened()
            try:
                with translated(self._folder):
                    return work(live, words)
            except SegmentClosed:
                if self._live is live:
                    raise

    def _opened(self) -> tuple[LiveSegment, Words]:
        if self._live is None or self._words is None:
            raise RuntimeError(f"index {self._store_id} is not started")
        return self._live, self._words

    # --- writing ---

    async def write(
        self, upserts: Sequence[Entry], vectors: Vectors, removals: Sequence[Removal], ctx: Context
    ) -> None:
        """Durable and visible, all of it, when this returns; when it raises, none of it is visible.

        Cancelling the caller does not stop a write under way; doing it again changes nothing.
        Raises DiskFull, DataDamaged, DeadlineExceeded (before it starts).
        """
        ctx.check("index")
        self._opened()
        if vectors.shape != (len(upserts), self._dimension):
            raise ValueError(f"vectors of shape {vectors.shape} for {len(upserts)} entries of {self._dimension}")
        if not np.isfinite(vectors).all():
            raise ValueError("vectors must be finite numbers")
        if not upserts and not removals:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(Write(upserts, vectors, removals, done))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain(), name=f"index-writes-{self._store_id}")
        await done

    async def _drain(self) -> None:
        """Apply and sync what waits, until nothing waits."""
        loop = asyncio.get_running_loop()
        assert self._writer is not None, "not started"
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                outcomes = await loop.run_in_executor(self._writer, self._write_all, batch)
            except BaseException as error:
                outcomes = [error] * len(batch)
                if not isinstance(error, Exception):
                    raise
            for write, outcome in zip(batch, outcomes, strict=True):
                if write.done.done():
                    continue
                if outcome is None:
                    write.done.set_result(None)
                else:
                    write.done.set_exception(outcome)

    def _write_all(self, batch: Sequence[Write]) -> list[BaseException | None]:
        """Apply each write, then sync once. One that fails does not touch its neighbours."""
        live, _ = self._opened()
        outcomes: list[BaseException | None] = []
        for write in batch:
            try:
                self._check_room(_size_bytes(write))
                self._at_rest(None)
                live.apply(write.upserts, write.vectors, write.removals)
                outcomes.append(None)
            except Exception as error:  # noqa: BLE001 - handed to the caller of that write
                outcomes.append(error)
        if None not in outcomes:
            return outcomes
        try:
            live.flush()
        except Exception as error:  # noqa: BLE001 - handed to the callers of all that was to be synced
            return [error if outcome is None else outcome for outcome in outcomes]
        self._writes += 1
        if self._writes % LOOK_EVERY_WRITES == 0 and is_worthwhile(self._folder / self._segments()[-1], live.count()):
            self._compact()
        return outcomes

    # --- tidying up ---

    async def compact(self) -> None:
        """Clear away what was replaced or deleted. Writes wait for it, searches do not."""
        assert self._writer is not None, "not started"
        await asyncio.get_running_loop().run_in_executor(self._writer, self._compact)

    def _compact(self) -> None:
        old, words = self._opened()
        assert self._manifest is not None, "not opened"
        try:
            self._check_room(_folder_bytes(self._folder))
            with translated(self._folder):
                new, self._manifest = compact(old, folder=self._folder, manifest=self._manifest, words=words)
            if self._reuse_vectors:
                new.find_by_text()
            self._live = new
        except (DiskFull, DataDamaged) as error:
            log.warning("The store in %s is not tidied up: %s", self._folder, error.message)
            return
        old.close()
        with translated(self._folder):
            remove_leftovers(self._folder, self._manifest)

    def _check_room(self, size_bytes: int) -> None:
        """The shard writes through memory maps, and a full disk then kills the process: stop well before."""
        parent = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        left, needed = self._room(parent), self._settings.min_free_bytes + size_bytes
        if left < needed:
            raise DiskFull(
                f"Only {left // 2**20} MiB are left on the disk of {self._folder}, and {needed // 2**20} MiB are "
                "needed. Free some space and try again; nothing acknowledged is lost."
            )

    # --- looking at the whole ---

    async def count(self) -> int:
        """Chunks in the store."""
        return await self._reading(lambda live: live.count())

    async def holds(self, file_id: str, version: str) -> int:
        """Chunks of that version of the file."""
        return await self._reading(lambda live: live.holds(file_id, version))

    async def _reading(self, work: Callable[[LiveSegment], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._searchers, self._on_live, lambda live, _: work(live)
        )

    async def entries_of(self, file_id: str) -> tuple[list[Entry], Vectors]:
        """The file's chunks in their order, as they are stored."""
        found = await self._reading(
            lambda live: sorted(live.entries(file_id=file_id), key=lambda pair: pair[0].chunk.position)
        )
        vectors = np.empty((len(found), self._dimension), np.float32)
        for row, (_, vector) in enumerate(found):
            vectors[row] = vector
        return [entry for entry, _ in found], vectors

    async def embedded(self, hashes: Sequence[str]) -> dict[str, tuple[Vector, str]] | None:
        """Vector and sketch of what the store has embedded already, by the hash of what the encoder read.

        None where that is switched off.
        """
        if not self._reuse_vectors:
            return None
        found: dict[str, tuple[Vector, str]] = {}
        for start in range(0, len(hashes), LOOKED_UP_AT_ONCE):
            wanted = hashes[start : start + LOOKED_UP_AT_ONCE]
            found |= await self._reading(partial(LiveSegment.embedded, hashes=wanted))
        return found

    async def files(self) -> set[str]:
        """Ids of the files of which there are passages."""
        return await self._reading(lambda live: {entry.file_id for entry, _ in live.entries()})

    async def dump(self) -> list[Line]:
        """Every chunk, sorted: what two stores must agree in to be the same."""
        return await self._reading(lambda live: sorted(line_of(entry, vector) for entry, vector in live.entries()))


def _folder_bytes(folder: Path) -> int:
    """What a folder takes on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _size_bytes(write: Write) -> int:
    """What a write may take on disk, counted generously: in the log and in the segment, with its index."""
    texts = sum(len(entry.chunk.text.encode()) for entry in write.upserts)
    return 4 * (texts + write.vectors.nbytes + 1024 * len(write.upserts))
