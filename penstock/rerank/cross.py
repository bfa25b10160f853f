"""A cross-encoder on this machine: it reads question and passage together, and says how well they fit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

import numpy as np
import openvino as ov

from penstock.core.context import Context, start_context
from penstock.core.errors import ModelMissing, StageUnavailable
from penstock.core.types import Hit, Principal, Value
from penstock.flow.batcher import Batcher, BatchReport
from penstock.models.batches import padded, plan
from penstock.models.described import positions_of, read_json
from penstock.models.engine import Engine, Precision, chosen_precision
from penstock.models.lane import Lane
from penstock.models.locate import locate, sha256_of
from penstock.models.tokens import EncoderTokenizer
from penstock.rerank.head import build
from penstock.rerank.order import STAGE, ordered, passage_of

Pair = tuple[str, str]

SETTING = "rerank.model"
BATCH_TOKENS = 2_048
"""Pairs of all callers go through together up to so many tokens: a pass takes some tens of milliseconds."""
CHARS_A_TOKEN = 4
BATCH_TIMEOUT_S = 60.0
NOBODY = Principal(tenant="", scopes=())


class _Loaded(Value, frozen=True):
    identity: str
    source: str
    precision: str
    tokenizer: EncoderTokenizer
    engine: Engine
    pad_id: int


class CrossEncoder:
    """Implements `core.ports.Reranker`. `start` blocks for a second or so and raises ModelMissing.

    Pairs of questions that come together share passes; a caller who left or whose time is up takes no more part.
    """

    def __init__(
        self,
        *,
        model: str,
        precision: Precision = "auto",
        connect_timeout_s: float = 5.0,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self._wanted = model
        self._precision: Precision = precision
        self._connect_timeout_s = connect_timeout_s
        self._loaded: _Loaded | None = None
        self._lane = Lane(threads=1, name="rerank", stage=STAGE)
        self._batcher: Batcher[Pair, float] = Batcher(
            name=STAGE, run=self._run, size_of=_size_of, max_size=BATCH_TOKENS, observe=observe
        )

    async def start(self) -> None:
        """Find, read and compile the model. Raises ModelMissing."""
        self._loaded = await asyncio.to_thread(self._load)
        self._lane.start()

    async def stop(self) -> None:
        """Finish what runs, refuse what waits."""
        await self._batcher.stop()
        await asyncio.to_thread(self._lane.stop)
        self._loaded = None

    @property
    def model(self) -> str:
        return self._running().identity

    @property
    def precision(self) -> str:
        """What it computes in: fp32 or bf16."""
        return self._running().precision

    async def rerank(self, query: str, hits: Sequence[Hit], ctx: Context) -> list[Hit]:
        self._running()
        ctx.check(STAGE)
        logits = await self._batcher.submit_many([(query, passage_of(hit)) for hit in hits], ctx)
        scores = 1.0 / (1.0 + np.exp(-np.asarray(logits, dtype=np.float64)))
        return ordered(hits, scores.tolist())

    async def _run(self, pairs: Sequence[Pair]) -> Sequence[float | BaseException]:
        ctx = start_context(principal=NOBODY, timeout_s=BATCH_TIMEOUT_S)
        loaded = self._running()
        return await asyncio.wrap_future(self._lane.submit(lambda: _score(loaded, pairs), ctx))

    def _load(self) -> _Loaded:
        try:
            found = locate(self._wanted, connect_timeout_s=self._connect_timeout_s, setting=SETTING)
            config = read_json(found.folder / "config.json")
            tokenizer = EncoderTokenizer(file=found.folder / "tokenizer.json", max_tokens=positions_of(config))
            tokenizer.start()
            core = ov.Core()
            precision = chosen_precision(core, self._precision)
            threads = len(os.sched_getaffinity(0))
            engine = Engine(core=core, graph=build(found, core=core), precision=precision, streams=1, threads=threads)
            engine.start()
        except ModelMissing as error:
            error.param = SETTING  # whatever stood in the way, this setting led there
            raise
        return _Loaded(
            identity=f"{found.name}@{sha256_of(found.weights)[:12]}",
            source=f"{found.source}: {found.weights}",
            precision=precision,
            tokenizer=tokenizer,
            engine=engine,
            pad_id=int(config.get("pad_token_id") or 0),
        )

    def _running(self) -> _Loaded:
        if self._loaded is None:
            raise StageUnavailable(STAGE, "the cross-encoder is not started")
        return self._loaded


def _size_of(pair: Pair) -> int:
    return (len(pair[0]) + len(pair[1])) // CHARS_A_TOKEN + 3


def _score(loaded: _Loaded, pairs: Sequence[Pair]) -> list[float]:
    encoded = loaded.tokenizer.encode_pairs(pairs)
    logits = np.empty(len(encoded), dtype=np.float32)
    for batch in plan([len(ids) for ids, _ in encoded], budget_tokens=BATCH_TOKENS):
        window = loaded.tokenizer.max_tokens
        ids, mask = padded([encoded[index][0] for index in batch], pad_id=loaded.pad_id, window=window)
        types, _ = padded([encoded[index][1] for index in batch], pad_id=0, window=window)
        logits[batch] = loaded.engine.run(ids, mask, types)[:, 0]
    scores: list[float] = logits.tolist()
    return scores
