"""A model's graph, and the exports (ONNX, OpenVINO's IR) in which some models come."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from penstock.core.errors import ModelMissing
from penstock.models.locate import Located
from penstock.models.weights import WeightsFile

INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}


class Graph:
    """The graph and what its arrays lie in. Keep it for as long as anything compiled from it is used."""

    def __init__(self, *, model: ov.Model, file: WeightsFile | None = None) -> None:
        self.model = model
        self._file = file

    @property
    def dimension(self) -> int:
        return int(self.model.output(0).partial_shape[1].get_length())

    def give_back_pages(self) -> None:
        """Compiled code has its own arrangement of the weights: the file's pages need not stay in memory."""
        if self._file is not None:
            self._file.give_back_pages()


def tokens_input(name: str) -> Any:
    """An input of whole numbers, [texts, tokens]."""
    node = op.parameter([-1, -1], np.int32, name=name)
    node.output(0).get_tensor().set_names({name})
    return node


def read_export(found: Located, core: ov.Core) -> ov.Model:
    """The model in an ONNX or OpenVINO file. Raises ModelMissing for one that is damaged or reads no text."""
    try:
        model = core.read_model(found.weights)
    except RuntimeError as error:
        raise ModelMissing(
            f"{found.weights} cannot be read: {str(error).strip().splitlines()[-1]}. Fetch the model again.",
            param="embed.model",
        ) from error
    inputs = {port.get_any_name() for port in model.inputs}
    if not {"input_ids", "attention_mask"} <= inputs or inputs - INPUTS:
        raise ModelMissing(
            f"{found.weights} is not a text encoder: its inputs are {sorted(inputs)}.", param="embed.model"
        )
    return model
