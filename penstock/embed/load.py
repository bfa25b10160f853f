"""From a model's name to a compiled encoder on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import openvino as ov

from penstock.core.types import Value
from penstock.embed.batches import Ids
from penstock.embed.bert import build_bert
from penstock.embed.locate import Located, locate, sha256_of
from penstock.embed.recipe import Recipe, read_json, read_recipe
from penstock.embed.tokens import EncoderTokenizer

Precision = Literal["auto", "fp32", "bf16", "int8"]


class Loaded(Value, frozen=True):
    """A compiled encoder with what is needed to feed it."""

    identity: str
    dimension: int
    recipe: Recipe
    tokenizer: EncoderTokenizer
    pad_id: int
    precision: str
    compiled: Any

    def inputs(self, ids: Ids, mask: Ids) -> dict[Any, Any]:
        """The arrays by the graph's inputs."""
        return {0: ids, 1: mask}


def load(
    model: str,
    *,
    revision: str | None,
    precision: Precision,
    threads: int,
    max_tokens: int,
    connect_timeout_s: float,
) -> Loaded:
    """Find, build and compile. Blocks. Raises ModelMissing."""
    found = locate(model, revision=revision, connect_timeout_s=connect_timeout_s)
    recipe = read_recipe(found.folder, name=found.name)
    window = min(max_tokens, recipe.max_tokens) if max_tokens else recipe.max_tokens
    tokenizer = EncoderTokenizer(file=found.folder / "tokenizer.json", max_tokens=window)
    tokenizer.start()
    core = ov.Core()
    chosen = _precision(core, precision)
    graph = build_bert(found.folder, found.weights, pooling=recipe.pooling)
    compiled = core.compile_model(graph, "CPU", _properties(chosen, threads))
    return Loaded(
        identity=_identity(found, recipe, window),
        dimension=int(compiled.output(0).partial_shape[1].get_length()),
        recipe=recipe,
        tokenizer=tokenizer,
        pad_id=int(read_json(found.folder / "config.json").get("pad_token_id") or 0),
        precision=chosen,
        compiled=compiled,
    )


def _precision(core: ov.Core, asked: Precision) -> str:
    if asked != "auto":
        return asked
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"


def _properties(precision: str, threads: int) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "NUM_STREAMS": "1",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    return properties


def _identity(found: Located, recipe: Recipe, window: int) -> str:
    return f"{found.name}@{sha256_of(found.weights)[:12]}/{recipe.pooling}/{window}"
