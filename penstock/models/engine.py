"""A graph compiled for this machine's CPU."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import openvino as ov

from penstock.core.types import Value, Vectors
from penstock.models.batches import Ids
from penstock.models.graph import Graph

Precision = Literal["auto", "fp32", "bf16", "int8"]


def chosen_precision(core: ov.Core, asked: Precision) -> str:
    """What `auto` means on this CPU."""
    if asked != "auto":
        return asked
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"


class Totals(Value, frozen=True):
    """What went through since the start."""

    batches: int = 0
    texts: int = 0
    tokens: int = 0
    padding: int = 0
    """Tokens that only fill a batch up to its longest text."""


class Engine:
    """Compiled at `start`, or by the first `run`. `run` may be called from several threads; `streams` run at once.

    One that gives way computes only where nobody else wants the core (on Linux; elsewhere it is like the others).
    """

    def __init__(
        self, *, core: ov.Core, graph: Graph, precision: str, streams: int, threads: int, gives_way: bool = False
    ) -> None:
        self._core = core
        self._graph = graph
        self._streams = streams
        self._gives_way = gives_way
        self._properties: dict[str, Any] = {
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        if precision == "int8":
            # One scale for each token's activations; on a CPU without int8 dot products the engine leaves it out.
            self._properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(2**63)
        self._idle: queue.SimpleQueue[Any] | None = None
        self._wanted: tuple[tuple[str, Any], ...] = ()
        self._lock = threading.Lock()
        self.totals = Totals()

    def start(self) -> None:
        """Compile; blocks. Again does nothing."""
        with self._lock:
            if self._idle is not None:
                return
            compiled = self._compiled()
            self._wanted = tuple((port.get_any_name(), port.element_type.to_dtype()) for port in compiled.inputs)
            idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
            for _ in range(self._streams):
                idle.put(compiled.create_infer_request())
            self._idle = idle
            self._graph.give_back_pages()

    def _compiled(self) -> ov.CompiledModel:
        if not self._gives_way:
            return self._core.compile_model(self._graph.model, "CPU", self._properties)
        # The engine's threads are scheduled like the one that makes them, which without rights cannot become again
        # what it was: so that is one of its own. They never hold Python's lock, for which others might wait.
        with ThreadPoolExecutor(1, initializer=_give_way) as maker:
            return maker.submit(self._core.compile_model, self._graph.model, "CPU", self._properties).result()

    def run(self, ids: Ids, mask: Ids, types: Ids | None = None) -> Vectors:
        """A vector for each row; blocks. `types` tells the tokens of a pair's second text (1) from the first's (0)."""
        self.start()
        assert self._idle is not None
        request = self._idle.get()
        try:
            request.infer(
                {name: _input(name, ids, mask, types).astype(kind, copy=False) for name, kind in self._wanted}
            )
            vectors: Vectors = np.array(request.get_output_tensor(0).data, dtype=np.float32)
        finally:
            self._idle.put(request)
        tokens = int(mask.sum())
        with self._lock:
            seen = self.totals
            self.totals = Totals(
                batches=seen.batches + 1,
                texts=seen.texts + len(ids),
                tokens=seen.tokens + tokens,
                padding=seen.padding + mask.size - tokens,
            )
        return vectors


def _give_way() -> None:
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # a sandbox that forbids it: then they take their share, as without
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _input(name: str, ids: Ids, mask: Ids, types: Ids | None) -> Ids:
    if name == "input_ids":
        return ids
    if name == "attention_mask":
        return mask
    if name == "position_ids":
        return np.broadcast_to(np.arange(ids.shape[1], dtype=np.int32), ids.shape)
    return np.zeros_like(ids) if types is None else types  # token_type_ids
