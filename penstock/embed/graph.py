"""A model's files become one graph: token ids and mask in, one vector of unit length for each text out."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import openvino as ov
from openvino import opset15 as op

from penstock.core.errors import ModelMissing
from penstock.embed.pooling import normalised, pooled
from penstock.embed.recipe import Recipe
from penstock.models.bert import bert_states, shape_of
from penstock.models.described import read_json
from penstock.models.graph import Graph, read_export, tokens_input
from penstock.models.locate import Located, sha256_of
from penstock.models.weights import Weights, WeightsFile

SENTENCE = ("sentence_embedding", "text_embeds", "pooled_embedding")
STATES = ("last_hidden_state", "token_embeddings", "hidden_states")


def build(found: Located, recipe: Recipe, *, core: ov.Core, int8: bool) -> Graph:
    """Blocks. Raises ModelMissing for files that are damaged or of a kind that we do not read."""
    if found.form == "safetensors":
        return _from_weights(found, recipe, int8=int8)
    if int8:
        raise ModelMissing(
            "precision int8 is for safetensors models; take the model's own int8 ONNX or OpenVINO file instead.",
            param="embed.precision",
        )
    return _from_export(found, recipe, core)


def fingerprint(found: Located, recipe: Recipe, *, window: int, int8: bool) -> str:
    """Twelve digits that change when vectors would: with weights, tokenizer, pooling, prefixes, window, int8."""
    digest = hashlib.sha256()
    digest.update((found.sha256 or sha256_of(found.weights)).encode())
    beside = [found.weights.with_suffix(".bin"), found.weights.with_name(found.weights.name + "_data")]
    for file in [*beside, found.folder / "tokenizer.json"]:
        digest.update(sha256_of(file).encode() if file.is_file() else b"-")
    digest.update(msgspec.json.encode([recipe.pooling, recipe.query_prefix, recipe.passage_prefix, window, int8]))
    return digest.hexdigest()[:12]


def _from_weights(found: Located, recipe: Recipe, *, int8: bool) -> Graph:
    shape = shape_of(read_json(found.folder / "config.json"), int8=int8)
    file = WeightsFile(found.weights)
    ids, mask = tokens_input("input_ids"), tokens_input("attention_mask")
    states = bert_states(ids, mask, Weights(file), shape)
    return Graph(model=ov.Model([pooled(states, mask, recipe.pooling)], [ids, mask], "encoder"), file=file)


def _from_export(found: Located, recipe: Recipe, core: ov.Core) -> Graph:
    model = read_export(found, core)
    states, is_pooled = _output(model, found)
    mask = op.convert(model.input("attention_mask").get_node(), "i32")
    rows = normalised(states) if is_pooled else pooled(states, mask, recipe.pooling)
    return Graph(model=ov.Model([rows], model.get_parameters(), "encoder"))


def _output(model: ov.Model, found: Located) -> tuple[Any, bool]:
    """The node that gives vectors (True) or token states (False)."""
    by_name = {name: port for port in model.outputs for name in port.get_names()}
    for names, is_pooled in ((SENTENCE, True), (STATES, False)):
        for name in names:
            if name in by_name:
                return by_name[name].get_node().input_value(0), is_pooled
    for port in model.outputs:
        if port.partial_shape.rank.is_static and port.partial_shape.rank.get_length() == 3:
            return port.get_node().input_value(0), False
    raise ModelMissing(f"{found.weights} gives neither token states nor vectors.", param="embed.model")
