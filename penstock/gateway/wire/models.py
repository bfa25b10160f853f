"""`/v1/models`."""

from __future__ import annotations

from typing import Literal

from penstock.gateway.wire.base import Answered


class Model(Answered, frozen=True):
    """A name that `model` takes."""

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str = "penstock"


class ModelList(Answered, frozen=True):
    """All of them."""

    data: list[Model]
    object: Literal["list"] = "list"
