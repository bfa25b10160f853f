"""OpenAI's own description of its API, as validators of answers."""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(os.environ.get("PENSTOCK_DATA", ROOT.parent / "shared" / "data")) / "openai-openapi.json.gz"


@cache
def _description() -> dict[str, Any]:
    with gzip.open(FILE) as file:
        return _modern(json.load(file))


def _modern(schema: Any) -> Any:
    """The description mixes in keywords of OpenAPI 3.0 (`nullable`) and of older drafts (`$recursiveRef`)."""
    if isinstance(schema, list):
        return [_modern(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    read = {name: _modern(part) for name, part in schema.items() if name not in ("nullable", "$recursiveAnchor")}
    if "$recursiveRef" in read:
        read["$ref"] = "#/components/schemas/CompoundFilter"
        del read["$recursiveRef"]
    return {"anyOf": [read, {"type": "null"}]} if schema.get("nullable") is True else read


def operations() -> set[tuple[str, str]]:
    """Methods and paths, as they stand behind `/v1`."""
    return {(method.upper(), path) for path, methods in _description()["paths"].items() for method in methods}


def answer_schema(method: str, path: str, media: str = "application/json") -> dict[str, Any]:
    """The schema of a good answer."""
    operation = _description()["paths"][path][method.lower()]
    schema: dict[str, Any] = operation["responses"]["200"]["content"][media]["schema"]
    return schema


def validate(schema: dict[str, Any], answer: Any) -> None:
    """Raise ValidationError when the answer does not fit."""
    Draft202012Validator({**schema, "components": _description()["components"]}).validate(answer)


ERROR: dict[str, Any] = {"$ref": "#/components/schemas/ErrorResponse"}
