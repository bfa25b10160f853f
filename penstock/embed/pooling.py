"""Token states become one vector a text: the last nodes of every encoder's graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from openvino import opset15 as op

from penstock.embed.recipe import Pooling

ABSENT = np.float32(-1e30)


def pooled(states: Any, mask: Any, pooling: Pooling) -> Any:
    """[batch, tokens, width] and its mask to [batch, width], rows of unit length."""
    present = op.unsqueeze(op.convert(mask, "f32"), op.constant(np.array([2])))
    tokens = op.constant(np.array([1]))
    if pooling == "mean":
        # No division by the count: the length is taken out below in any case.
        rows = op.reduce_sum(op.multiply(states, present), tokens, keep_dims=False)
    elif pooling == "max":
        absent = op.multiply(op.subtract(op.constant(np.float32(1)), present), op.constant(ABSENT))
        rows = op.reduce_max(op.add(states, absent), tokens, keep_dims=False)
    elif pooling == "cls":
        rows = op.gather(states, op.constant(np.int32(0)), op.constant(np.int32(1)))
    else:
        # Padding is on the right, so the last token stands at the count less one.
        last = op.subtract(op.reduce_sum(mask, tokens, keep_dims=False), op.constant(np.int32(1)))
        rows = op.gather(states, op.unsqueeze(last, tokens), op.constant(np.int32(1)), batch_dims=1)
        rows = op.squeeze(rows, tokens)
    return normalised(rows)


def normalised(rows: Any) -> Any:
    """Rows of length 1."""
    return op.normalize_l2(rows, op.constant(np.array([1])), 1e-12, "max")
