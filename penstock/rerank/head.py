"""A cross-encoder's graph: token ids of question and passage together in, one number for each pair out.

ids, mask, types ─ BERT ─ state of the first token ─ dense, activation ─ dense ─ logit
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from penstock.core.errors import ModelMissing
from penstock.models.bert import bert_states, shape_of
from penstock.models.described import read_json
from penstock.models.graph import Graph, read_export, tokens_input
from penstock.models.locate import Located
from penstock.models.weights import Weights, WeightsFile

# (dense, its activation, the layer that gives the logit), as each family names them
HEADS = (
    ("classifier.dense", op.tanh, "classifier.out_proj"),  # RoBERTa, XLM-RoBERTa, CamemBERT
    ("pre_classifier", op.relu, "classifier"),  # DistilBERT
    ("bert.pooler.dense", op.tanh, "classifier"),  # BERT
    ("pooler.dense", op.tanh, "classifier"),
)


def build(found: Located, *, core: ov.Core) -> Graph:
    """Blocks. Raises ModelMissing for files that are damaged or are no cross-encoder."""
    return _from_weights(found) if found.form == "safetensors" else _from_export(found, core)


def _from_weights(found: Located) -> Graph:
    shape = shape_of(read_json(found.folder / "config.json"))
    file = WeightsFile(found.weights)
    whole = Weights(file, prefix="")
    head = next((head for head in HEADS if f"{head[0]}.weight" in whole and f"{head[2]}.weight" in whole), None)
    if head is None:
        raise ModelMissing(
            f"{found.weights} has no head that scores pairs: it is an encoder, not a cross-encoder. "
            "Set rerank.model to a model for text ranking.",
            param="rerank.model",
        )
    dense, activation, last = head
    _one_label(found, whole[f"{last}.weight"].shape[0])
    inputs = [tokens_input(name) for name in ("input_ids", "attention_mask", "token_type_ids")]
    ids, mask, types = inputs
    states = bert_states(ids, mask, Weights(file), shape, types=types)
    first = op.gather(states, op.constant(np.int32(0)), op.constant(np.int32(1)))
    hidden = activation(_linear(first, whole.under(f"{dense}.")))
    return Graph(model=ov.Model([_linear(hidden, whole.under(f"{last}."))], inputs, "cross-encoder"), file=file)


def _from_export(found: Located, core: ov.Core) -> Graph:
    model = read_export(found, core)
    shape = model.output(0).partial_shape
    if len(model.outputs) != 1 or shape.rank.is_dynamic or shape.rank.get_length() != 2:
        raise ModelMissing(f"{found.weights} gives no score for a pair: it is no cross-encoder.", param="rerank.model")
    if shape[1].is_static:
        _one_label(found, shape[1].get_length())
    return Graph(model=model)


def _one_label(found: Located, labels: int) -> None:
    if labels != 1:
        raise ModelMissing(
            f"{found.weights} sorts texts into {labels} classes. A cross-encoder for ranking has one score.",
            param="rerank.model",
        )


def _linear(rows: Any, weights: Weights) -> Any:
    product = op.matmul(rows, op.constant(weights["weight"]), transpose_a=False, transpose_b=True)
    return op.add(product, op.constant(weights["bias"].reshape(1, -1)))
