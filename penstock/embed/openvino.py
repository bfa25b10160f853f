"""The built-in encoder: OpenVINO on this machine's CPU."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from penstock.core.context import Context
from penstock.core.errors import StageUnavailable
from penstock.core.ports import TextKind, Tokenizer
from penstock.core.types import Vectors
from penstock.embed.batches import padded, plan
from penstock.embed.lane import Lane
from penstock.embed.load import Loaded, load

Precision = Literal["auto", "fp32", "bf16", "int8"]
SMALL_CHARS = 2_000
"""A call of at most so many characters is tokenised and encoded in one turn: a question pays one hop, not two."""


class OpenVinoEmbedder:
    """Implements `core.ports.Embedder`. Call `start` before use (it blocks: seconds the first time) and `stop` after.

    `embed` may be called concurrently. It never blocks the event loop; a bulk call is cut into batches, and
    urgent calls go first between them.
    """

    def __init__(
        self,
        *,
        model: str,
        models_dir: Path,
        revision: str | None = None,
        precision: Precision = "auto",
        batch_tokens: int = 2_048,
        threads: int = 0,
        max_tokens: int = 0,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self._wanted = model
        self._models_dir = models_dir
        self._revision = revision
        self._precision: Precision = precision
        self._batch_tokens = batch_tokens
        self._threads = threads
        self._max_tokens = max_tokens
        self._connect_timeout_s = connect_timeout_s
        self._lane = Lane(threads=1, name="embed")
        self._reading = Lane(threads=1, name="embed-tokens")
        self._loaded: Loaded | None = None
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.tokens = 0
        self.padding = 0

    def start(self) -> None:
        """Find, build and compile the model. Blocks. Raises ModelMissing."""
        self._loaded = load(
            self._wanted,
            revision=self._revision,
            precision=self._precision,
            threads=self._threads,
            max_tokens=self._max_tokens,
            connect_timeout_s=self._connect_timeout_s,
        )
        self._requests.put(self._loaded.compiled.create_infer_request())
        self._reading.start()
        self._lane.start()

    def stop(self) -> None:
        """Finish what runs and give the memory back. Blocks for at most one batch."""
        self._reading.stop()
        self._lane.stop()
        self._requests = queue.SimpleQueue()
        self._loaded = None

    @property
    def model(self) -> str:
        return self._running().identity

    @property
    def dimension(self) -> int:
        return self._running().dimension

    @property
    def tokenizer(self) -> Tokenizer:
        """The encoder's own, for whoever must count tokens as it does."""
        return self._running().tokenizer

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        loaded = self._running()
        ctx.check("embed")
        vectors: Vectors = np.empty((len(texts), loaded.dimension), dtype=np.float32)
        if not texts:
            return vectors
        recipe = loaded.recipe
        prefix = recipe.query_prefix if kind == "query" else recipe.passage_prefix
        prefixed = [prefix + text for text in texts] if prefix else texts
        if sum(map(len, texts)) <= SMALL_CHARS:
            work = self._lane.submit(lambda: self._encode_all(loaded, prefixed, vectors), ctx)
            await asyncio.wrap_future(work)
            return vectors
        rows = await asyncio.wrap_future(self._reading.submit(lambda: loaded.tokenizer.encode(prefixed), ctx))
        await self._in_turns(loaded, rows, vectors, ctx)
        return vectors

    def _running(self) -> Loaded:
        if self._loaded is None:
            raise StageUnavailable("embed", "the encoder is not started")
        return self._loaded

    async def _in_turns(self, loaded: Loaded, rows: list[list[int]], vectors: Vectors, ctx: Context) -> None:
        """One turn for each batch, so that others can go between."""

        def turn(batch: list[int]) -> Callable[[], None]:
            return lambda: self._encode(loaded, rows, batch, vectors)

        waiting = [
            asyncio.wrap_future(self._lane.submit(turn(batch), ctx))
            for batch in plan([len(row) for row in rows], budget_tokens=self._batch_tokens)
        ]
        try:
            await asyncio.gather(*waiting)
        finally:
            # Whoever left, or met an error, wants none of the rest.
            for future in waiting:
                future.cancel()

    def _encode_all(self, loaded: Loaded, texts: Sequence[str], vectors: Vectors) -> None:
        rows = loaded.tokenizer.encode(texts)
        for batch in plan([len(row) for row in rows], budget_tokens=self._batch_tokens):
            self._encode(loaded, rows, batch, vectors)

    def _encode(self, loaded: Loaded, rows: list[list[int]], batch: list[int], vectors: Vectors) -> None:
        ids, mask = padded([rows[index] for index in batch], pad_id=loaded.pad_id)
        request = self._requests.get()
        try:
            request.infer(loaded.inputs(ids, mask), share_inputs=True)
            vectors[batch] = request.get_output_tensor(0).data
        finally:
            self._requests.put(request)
        self.tokens += int(mask.sum())
        self.padding += mask.size - int(mask.sum())
