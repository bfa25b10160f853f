"""The built-in encoder: OpenVINO on this machine's CPU."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
import openvino as ov

from penstock.core.context import Context
from penstock.core.errors import StageUnavailable
from penstock.core.ports import TextKind, Tokenizer
from penstock.core.types import Vectors
from penstock.embed.load import Loaded, load
from penstock.models.batches import STEP, padded, plan, plan_closely
from penstock.models.engine import Engine, Precision, Totals
from penstock.models.lane import Lane

QUICK_CHARS = 4_000
"""A call of at most so many characters with interactive priority goes the quick way."""
STREAM_FROM = 4
"""So many questions at once go through one thread each batch: two threads on one batch wait for each other, and with
all cores busy that costs more than it saves."""
CLOSELY = 64
"""Up to so many texts it pays to look for the best division into batches."""
QUICK_THREADS = 4
"""More threads than this do not make one short question faster."""
MAX_STREAMS = 8
"""Each stream has scratch memory of its own."""


class _Way(NamedTuple):
    """An engine, and the threads that feed it."""

    engine: Engine
    lane: Lane


class _Started(NamedTuple):
    loaded: Loaded
    quick: _Way
    wide: _Way
    background: _Way

    @property
    def ways(self) -> Sequence[_Way]:
        """Each once."""
        return (self.quick, self.wide) if self.background is self.wide else (self.quick, self.wide, self.background)


class OpenVinoEmbedder:
    """Implements `core.ports.Embedder`. `start` blocks for half a second or so, `stop` for the batch that is running.

    Three ways through the encoder, compiled from the same weights. A few short interactive texts go the *quick* way:
    all threads on one batch, for the least latency. Many go the *wide* way: one thread for each of several batches, for
    the most throughput, the most urgent first at every boundary between batches. What is not interactive goes a way
    like it in the *background*, whose threads give way to everything else on the machine; with `documents_give_way`
    off, it goes the wide way and takes its share. Wide and background ways are compiled when first wanted; questions go
    the quick way until the wide one is there.

    `embed` may be called concurrently, and never blocks the event loop.
    """

    def __init__(
        self,
        *,
        model: str,
        revision: str = "",
        precision: Precision = "auto",
        batch_tokens: int = 1_024,
        threads: int = 0,
        max_tokens: int = 0,
        pad_to: int = STEP,
        documents_give_way: bool = True,
        connect_timeout_s: float = 5.0,
    ) -> None:
        """`threads` 0: one for each core this process may use. `max_tokens` 0: the model's own window."""
        self._wanted = model
        self._revision = revision or None
        self._precision: Precision = precision
        self._batch_tokens = batch_tokens
        self._threads = threads or len(os.sched_getaffinity(0))
        self._max_tokens = max_tokens
        self._connect_timeout_s = connect_timeout_s
        self._pad_to = pad_to
        self._documents_give_way = documents_give_way
        self._streams = min(self._threads, MAX_STREAMS)
        self._tokens_lane = Lane(threads=1, name="embed-tokens")
        self._started: _Started | None = None
        self._compiling: Future[None] | None = None

    def start(self) -> None:
        """Find, read and compile the model. Blocks. Raises ModelMissing."""
        loaded = load(
            self._wanted,
            revision=self._revision,
            precision=self._precision,
            max_tokens=self._max_tokens,
            connect_timeout_s=self._connect_timeout_s,
        )
        quick = self._way(loaded, "quick", streams=1, threads=min(self._threads, QUICK_THREADS))
        wide = self._way(loaded, "wide", streams=self._streams, threads=self._threads)
        background = wide
        if self._documents_give_way:
            background = self._way(loaded, "background", streams=self._streams, threads=self._threads, gives_way=True)
        quick.engine.start()
        self._started = started = _Started(loaded, quick, wide, background)
        for lane in (self._tokens_lane, *(way.lane for way in started.ways)):
            lane.start()

    def stop(self) -> None:
        """Finish what runs, refuse what waits (StageUnavailable), and give the memory back."""
        started, self._started = self._started, None
        if started is not None:
            for lane in (self._tokens_lane, *(way.lane for way in reversed(started.ways))):
                lane.stop()
        self._compiling = None

    @property
    def model(self) -> str:
        return self._running().loaded.identity

    @property
    def dimension(self) -> int:
        return self._running().loaded.dimension

    @property
    def streams(self) -> int:
        """Batches that go through it at the same time."""
        return self._streams

    @property
    def precision(self) -> str:
        """What it computes in: fp32, bf16 or int8."""
        return self._running().loaded.precision

    @property
    def source(self) -> str:
        """Where the model was found, for people."""
        found = self._running().loaded.found
        return f"{found.source}: {found.weights}"

    @property
    def tokenizer(self) -> Tokenizer:
        """The encoder's own, for whoever must count tokens as it does."""
        return self._running().loaded.tokenizer

    @property
    def window(self) -> int:
        """Tokens of a text, special ones included, beyond which it is cut."""
        return self._running().loaded.tokenizer.max_tokens

    def totals(self) -> Totals:
        """Texts, tokens and padding since the start."""
        all_ways = [way.engine.totals for way in self._running().ways]
        return Totals(**{name: sum(getattr(one, name) for one in all_ways) for name in Totals.__struct_fields__})

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        started = self._running()
        loaded = started.loaded
        ctx.check("embed")
        vectors: Vectors = np.empty((len(texts), loaded.dimension), dtype=np.float32)
        if not texts:
            return vectors
        prefix = loaded.recipe.query_prefix if kind == "query" else loaded.recipe.passage_prefix
        prefixed = [prefix + text for text in texts] if prefix else list(texts)
        if ctx.priority == "interactive" and sum(map(len, prefixed)) <= QUICK_CHARS:
            # Tokens and vectors in one turn: a question pays one hop between threads, not two.
            def at_once() -> None:
                rows = loaded.tokenizer.encode(prefixed)
                planned = plan_closely if len(rows) <= CLOSELY else plan
                for batch in planned([len(row) for row in rows], budget_tokens=self._batch_tokens, step=self._pad_to):
                    ctx.check("embed")
                    self._encode(loaded, way.engine, rows, batch, vectors)

            goes_wide = len(texts) >= STREAM_FROM and self._streams > 1 and self._is_there(started.wide, ctx)
            way = started.wide if goes_wide else started.quick
            await asyncio.wrap_future(way.lane.submit(at_once, ctx))
        else:
            rows = await asyncio.wrap_future(self._tokens_lane.submit(lambda: loaded.tokenizer.encode(prefixed), ctx))
            way = started.wide if ctx.priority == "interactive" else started.background
            await self._in_turns(loaded, way, rows, vectors, ctx)
        return vectors

    async def _in_turns(self, loaded: Loaded, way: _Way, rows: list[list[int]], vectors: Vectors, ctx: Context) -> None:
        """One turn for each batch, so that others can go between; the longest first, so all streams end together."""

        def turn(batch: list[int]) -> Callable[[], None]:
            return lambda: self._encode(loaded, way.engine, rows, batch, vectors)

        batches = plan([len(row) for row in rows], budget_tokens=self._batch_tokens, step=self._pad_to)
        turns: list[Future[None]] = [way.lane.submit(turn(batch), ctx) for batch in reversed(batches)]
        waiting = [asyncio.wrap_future(future) for future in turns]
        try:
            await asyncio.gather(*waiting)
        finally:
            # Whoever left, or met an error, wants none of the rest.
            for future in waiting:
                future.cancel()

    def _encode(
        self, loaded: Loaded, engine: Engine, rows: list[list[int]], batch: list[int], vectors: Vectors
    ) -> None:
        taken = [rows[index] for index in batch]
        ids, mask = padded(taken, pad_id=loaded.pad_id, window=loaded.tokenizer.max_tokens, step=self._pad_to)
        vectors[batch] = engine.run(ids, mask)

    def _is_there(self, wide: _Way, ctx: Context) -> bool:
        """Whether it is compiled; that takes half a second, which nobody who asks should wait for."""
        if self._compiling is None:
            self._compiling = wide.lane.submit(wide.engine.start, ctx)
        return self._compiling.done() and self._compiling.exception() is None

    def _way(self, loaded: Loaded, name: str, *, streams: int, threads: int, gives_way: bool = False) -> _Way:
        engine = Engine(
            core=loaded.core,
            graph=loaded.graph,
            precision=loaded.precision,
            streams=streams,
            threads=threads,
            gives_way=gives_way,
        )
        return _Way(engine, Lane(threads=streams, name=f"embed-{name}"))

    def _running(self) -> _Started:
        if self._started is None:
            raise StageUnavailable("embed", "the encoder is not started")
        return self._started


def cpu_capabilities() -> tuple[str, ...]:
    """What the encoder can compute in on this CPU, as OpenVINO names it: FP32, BF16, INT8, …"""
    return tuple(str(item) for item in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
