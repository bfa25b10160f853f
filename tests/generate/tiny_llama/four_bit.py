"""The tiny Llama once more, in 4 bits: the committed 8-bit export with its weights rounded to 15 steps a row.

Exports by `optimum-cli export openvino --weight-format int4 --sym` have the same shape: i4 constants, converted and
multiplied by a scale.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13


def make_four_bit(source: Path, folder: Path) -> int:
    """Write the export to `folder`; how many weights are now in 4 bits."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    model = ov.Core().read_model(source / "openvino_model.xml")
    held: list[np.ndarray] = []  # the constants only refer to these, until the model is written
    for subtraction in [op for op in model.get_ops() if op.get_type_name() == "Subtract"]:
        weights, zeros = (_constant(subtraction, place) for place in (0, 1))
        if weights is None or zeros is None or weights.get_element_type() != ov.Type.u8:
            continue
        [product] = [use.get_node() for use in subtraction.output(0).get_target_inputs()]
        scales = product.input_value(1).get_node()
        real = (weights.data.astype(np.float32) - zeros.data) * scales.data
        step = np.maximum(np.abs(real).max(axis=1, keepdims=True) / 7, 1e-6)
        held.append(_packed(np.round(real / step)))
        weights_i4 = ov.op.Constant(ov.Tensor(held[-1], list(real.shape), ov.Type.i4))
        smaller = opset13.convert(weights_i4, subtraction.get_element_type())
        product.input(0).replace_source_output(smaller.output(0))
        product.input(1).replace_source_output(opset13.constant(step.astype(scales.data.dtype)).output(0))
    ov.save_model(model, folder / "openvino_model.xml", compress_to_fp16=False)
    return len(held)


def _constant(subtraction: ov.Node, place: int) -> ov.Node | None:
    conversion = subtraction.input_value(place).get_node()
    if conversion.get_type_name() != "Convert":
        return None
    found = conversion.input_value(0).get_node()
    return found if found.get_type_name() == "Constant" else None


def _packed(values: np.ndarray) -> np.ndarray:
    """Two to a byte."""
    nibbles = (values.astype(np.int8).ravel() & 0xF).astype(np.uint8)
    nibbles = np.pad(nibbles, (0, len(nibbles) % 2))
    return nibbles[0::2] | (nibbles[1::2] << 4)
