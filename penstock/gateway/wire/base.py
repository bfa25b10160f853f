"""Bases of all wire structs, and the pieces that several resources share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from penstock.core.types import AttributeValue, ComparisonOperator


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what callers send: a field that we do not know is refused, never ignored."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what we send."""


class ErrorBody(Answered, frozen=True):
    """OpenAI's error object."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(Answered, frozen=True):
    """OpenAI's error shape."""

    error: ErrorBody


class ComparisonFilter(Asked, frozen=True):
    """Compares one attribute with a value; `in` and `nin` take a list."""

    type: ComparisonOperator
    key: Annotated[str, Meta(min_length=1, max_length=64)]
    value: AttributeValue | list[str | float]


FilterJson = Annotated[
    dict[str, Any],
    Meta(
        description="A comparison of one attribute, or `and` / `or` over several filters.",
        extra_json_schema={
            "oneOf": [
                {"$ref": "#/components/schemas/ComparisonFilter"},
                {"$ref": "#/components/schemas/CompoundFilter"},
            ]
        },
    ),
]
"""Read by gateway/filters.py: comparisons and compounds share their `type` field, which msgspec cannot tell apart."""

MaxResults = Annotated[int, Meta(ge=1, le=50)]
TimeoutS = Annotated[float, Meta(gt=0, description="Seconds this request may take; the server has an upper limit.")]
StoreName = Annotated[str, Meta(min_length=1, max_length=256)]


class Health(Answered, frozen=True):
    """State of the process."""

    status: Literal["alive", "ready", "starting", "stopping"]
