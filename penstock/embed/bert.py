"""The BERT graph for OpenVINO, straight from safetensors: no torch, no export.

ids, mask ─ embeddings ─ [attention ─ feed-forward] × layers ─ pooling ─ unit length
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from penstock.core.errors import ModelMissing
from penstock.embed.pooling import pooled
from penstock.embed.recipe import Pooling, read_json
from penstock.embed.weights import Weights

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
MASKED = np.float32(-1e4)


def build_bert(folder: Path, weights_file: Path, *, pooling: Pooling) -> ov.Model:
    """Inputs ids and mask, int32 [batch, tokens]; output float32 [batch, width], rows of unit length.

    Raises ModelMissing for a model that is not of the BERT family.
    """
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type"))
    if kind != "bert" or config.get("hidden_act", "gelu") not in ACTIVATIONS:
        raise ModelMissing(
            f"{folder}: a safetensors model of type '{kind}' is not supported (bert is). "
            "Take the model's ONNX or OpenVINO form instead.",
            param="embed.model",
        )
    weights = Weights(weights_file)
    ids = op.parameter([-1, -1], np.int32, name="ids")
    mask = op.parameter([-1, -1], np.int32, name="mask")
    bias = _attention_bias(mask)
    states = _embeddings(ids, weights, eps=float(config.get("layer_norm_eps", 1e-12)))
    for layer in range(int(config["num_hidden_layers"])):
        states = _layer(states, bias, weights.under(f"encoder.layer.{layer}."), config)
    return ov.Model([pooled(states, mask, pooling)], [ids, mask], "penstock-encoder")


def _const(value: Any) -> Any:
    return op.constant(np.asarray(value, order="C"))


def _attention_bias(mask: Any) -> Any:
    """0 where there is a token, a large negative number where there is padding; [batch, 1, 1, tokens]."""
    absent = op.subtract(_const(np.float32(1)), op.convert(mask, "f32"))
    return op.unsqueeze(op.multiply(absent, _const(MASKED)), _const(np.array([1, 2])))


def _embeddings(ids: Any, weights: Weights, *, eps: float) -> Any:
    zero = _const(np.int32(0))
    tokens = op.gather(op.shape_of(ids, "i32"), _const(np.int32(1)), zero)
    positions = op.range(zero, tokens, _const(np.int32(1)), "i32")
    # Every token is of type 0, so that row is added to the positions once and for all.
    table = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    words = op.gather(_const(weights["embeddings.word_embeddings.weight"]), ids, zero)
    return _norm(
        op.add(words, op.gather(_const(table), positions, zero)), weights.under("embeddings.LayerNorm."), eps=eps
    )


def _layer(states: Any, bias: Any, weights: Weights, config: dict[str, Any]) -> Any:
    eps = float(config.get("layer_norm_eps", 1e-12))
    attended = _attention(states, bias, weights.under("attention."), heads=int(config["num_attention_heads"]))
    states = _norm(op.add(states, attended), weights.under("attention.output.LayerNorm."), eps=eps)
    inner = _activation(_linear(states, weights.under("intermediate.dense.")), str(config.get("hidden_act", "gelu")))
    return _norm(
        op.add(states, _linear(inner, weights.under("output.dense."))), weights.under("output.LayerNorm."), eps=eps
    )


def _attention(states: Any, bias: Any, weights: Weights, *, heads: int) -> Any:
    width = weights["self.query.weight"].shape[0]

    def split(name: str) -> Any:
        rows = _linear(states, weights.under(f"self.{name}."))
        rows = op.reshape(rows, _const(np.array([0, 0, heads, width // heads])), special_zero=True)
        return op.transpose(rows, _const(np.array([0, 2, 1, 3])))

    mixed = op.scaled_dot_product_attention(split("query"), split("key"), split("value"), bias, causal=False)
    mixed = op.reshape(
        op.transpose(mixed, _const(np.array([0, 2, 1, 3]))), _const(np.array([0, 0, width])), special_zero=True
    )
    return _linear(mixed, weights.under("output.dense."))


def _linear(rows: Any, weights: Weights) -> Any:
    product = op.matmul(rows, _const(weights["weight"]), transpose_a=False, transpose_b=True)
    return op.add(product, _const(weights["bias"].reshape(1, 1, -1)))


def _norm(rows: Any, weights: Weights, *, eps: float) -> Any:
    centred = op.mvn(rows, _const(np.array([-1])), normalize_variance=True, eps=eps, eps_mode="inside_sqrt")
    scaled = op.multiply(centred, _const(weights["weight"].reshape(1, 1, -1)))
    return op.add(scaled, _const(weights["bias"].reshape(1, 1, -1)))


def _activation(rows: Any, name: str) -> Any:
    if name == "relu":
        return op.relu(rows)
    return op.gelu(rows, "erf" if name == "gelu" else "tanh")
