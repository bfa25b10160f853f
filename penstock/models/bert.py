"""The BERT graph for OpenVINO, straight from safetensors: no torch, no export.

    ids, mask ─ embeddings ─ [attention ─ feed-forward] × layers ─ token states

BERT, RoBERTa and XLM-RoBERTa, DistilBERT. Others (MPNet, ModernBERT, …) come in through their ONNX or OpenVINO form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from openvino import opset15 as op

from penstock.core.errors import ModelMissing
from penstock.core.types import Value
from penstock.models.weights import Weights

MASKED = np.float32(-1e4)
TYPES = "embeddings.token_type_embeddings.weight"
SHARED_FROM = 10_000
"""Arrays of more elements are used where they lie in the file, smaller ones are copied."""


class Shape(Value, frozen=True):
    """What the graph needs of a model's config.json."""

    layers: int
    heads: int
    activation: str
    eps: float
    first_position: int
    int8: bool = False


class Names(Value, frozen=True):
    """What a family calls its arrays."""

    layer: str = "encoder.layer."
    query: str = "attention.self.query."
    key: str = "attention.self.key."
    value: str = "attention.self.value."
    mixed: str = "attention.output.dense."
    mixed_norm: str = "attention.output.LayerNorm."
    inner: str = "intermediate.dense."
    outer: str = "output.dense."
    outer_norm: str = "output.LayerNorm."


DISTIL = Names(
    layer="transformer.layer.",
    query="attention.q_lin.",
    key="attention.k_lin.",
    value="attention.v_lin.",
    mixed="attention.out_lin.",
    mixed_norm="sa_layer_norm.",
    inner="ffn.lin1.",
    outer="ffn.lin2.",
    outer_norm="output_layer_norm.",
)
ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "relu": ""}


def shape_of(config: dict[str, Any], *, int8: bool = False) -> Shape:
    """Raises ModelMissing for a model that is not of this family."""
    kind = str(config.get("model_type"))
    activation = str(config.get("hidden_act") or config.get("activation") or "gelu")
    positions = config.get("position_embedding_type", "absolute")
    known = kind in {"bert", "roberta", "xlm-roberta", "camembert", "distilbert"}
    if not known or activation not in ACTIVATIONS or positions != "absolute":
        raise ModelMissing(
            f"A safetensors model of type '{kind}' (activation {activation}, positions {positions}) is not supported: "
            "bert, roberta, xlm-roberta and distilbert are. Take the model's ONNX or OpenVINO form instead.",
            param="embed.model",
        )
    distil = kind == "distilbert"
    return Shape(
        layers=int(config["n_layers" if distil else "num_hidden_layers"]),
        heads=int(config["n_heads" if distil else "num_attention_heads"]),
        activation=activation,
        eps=float(config.get("layer_norm_eps", 1e-12)),
        # RoBERTa counts positions from the one after the padding's id.
        first_position=0 if kind in {"bert", "distilbert"} else int(config.get("pad_token_id", 1)) + 1,
        int8=int8,
    )


def bert_states(ids: Any, mask: Any, weights: Weights, shape: Shape, *, types: Any = None) -> Any:
    """Token states, float32 [batch, tokens, width]. Padding must be on the right.

    `types` says which text of a pair a token belongs to; without it all are of the first.
    """
    names = DISTIL if f"{DISTIL.layer}0.{DISTIL.query}weight" in weights else Names()
    bias = _attention_bias(mask)
    states = _embeddings(ids, types, weights, shape)
    for number in range(shape.layers):
        layer = weights.under(f"{names.layer}{number}.")
        attended = _attention(states, bias, layer, names, shape)
        states = _norm(op.add(states, attended), layer.under(names.mixed_norm), shape)
        inner = _activation(_linear(states, layer.under(names.inner), shape), shape)
        outer = _linear(inner, layer.under(names.outer), shape)
        states = _norm(op.add(states, outer), layer.under(names.outer_norm), shape)
    return states


def _const(value: Any) -> Any:
    array = np.asarray(value, order="C")
    return op.constant(array, shared_memory=True) if array.size > SHARED_FROM else op.constant(array)


def _attention_bias(mask: Any) -> Any:
    """0 where there is a token, a large negative number where there is padding; [batch, 1, 1, tokens]."""
    absent = op.subtract(_const(np.float32(1)), op.convert(mask, "f32"))
    return op.unsqueeze(op.multiply(absent, _const(MASKED)), _const(np.array([1, 2])))


def _embeddings(ids: Any, types: Any, weights: Weights, shape: Shape) -> Any:
    zero = _const(np.int32(0))
    tokens = op.gather(op.shape_of(ids, "i32"), _const(np.int32(1)), zero)
    positions = op.range(zero, tokens, _const(np.int32(1)), "i32")
    table = weights["embeddings.position_embeddings.weight"][shape.first_position :]
    words = op.gather(_const(weights["embeddings.word_embeddings.weight"]), ids, zero)
    if TYPES in weights and types is None:
        # Every token is of type 0, so that row is added to the positions once and for all.
        table = table + weights[TYPES][0]
    elif TYPES in weights:
        words = op.add(words, op.gather(_const(weights[TYPES]), types, zero))
    placed = op.add(words, op.gather(_const(table), positions, zero))
    return _norm(placed, weights.under("embeddings.LayerNorm."), shape)


def _attention(states: Any, bias: Any, layer: Weights, names: Names, shape: Shape) -> Any:
    width = layer.under(names.query)["weight"].shape[0]

    def split(name: str) -> Any:
        rows = _linear(states, layer.under(name), shape)
        rows = op.reshape(rows, _const(np.array([0, 0, shape.heads, width // shape.heads])), special_zero=True)
        return op.transpose(rows, _const(np.array([0, 2, 1, 3])))

    # One product for query, key and value together was tried: no difference in time.
    heads = op.scaled_dot_product_attention(
        split(names.query), split(names.key), split(names.value), bias, causal=False
    )
    rows = op.transpose(heads, _const(np.array([0, 2, 1, 3])))
    return _linear(
        op.reshape(rows, _const(np.array([0, 0, width])), special_zero=True), layer.under(names.mixed), shape
    )


def _linear(rows: Any, weights: Weights, shape: Shape) -> Any:
    matrix = weights["weight"]
    factor = _int8(matrix) if shape.int8 else _const(matrix)
    product = op.matmul(rows, factor, transpose_a=False, transpose_b=True)
    return op.add(product, _const(weights["bias"].reshape(1, 1, -1)))


def _int8(matrix: np.ndarray[Any, Any]) -> Any:
    """The matrix as whole numbers of eight bits with a scale for each output, in the form the engine recognises."""
    scale = np.maximum(np.abs(matrix).max(axis=1, keepdims=True), np.float32(1e-12)) / np.float32(127)
    whole = np.rint(matrix / scale).astype(np.int8)
    return op.multiply(op.convert(op.constant(whole), "f32"), op.constant(scale.astype(np.float32)))


def _norm(rows: Any, weights: Weights, shape: Shape) -> Any:
    centred = op.mvn(rows, _const(np.array([-1])), normalize_variance=True, eps=shape.eps, eps_mode="inside_sqrt")
    scaled = op.multiply(centred, _const(weights["weight"].reshape(1, 1, -1)))
    return op.add(scaled, _const(weights["bias"].reshape(1, 1, -1)))


def _activation(rows: Any, shape: Shape) -> Any:
    form = ACTIVATIONS[shape.activation]
    return op.gelu(rows, form) if form else op.relu(rows)
