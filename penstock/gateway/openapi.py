"""The description of the API, made from the operations and their structs, so that it cannot say anything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.gateway.operation import Operation
from penstock.gateway.wire.base import ComparisonFilter, ErrorResponse

REF = "#/components/schemas/{name}"

COMPOUND_FILTER = {
    "title": "CompoundFilter",
    "description": "All (`and`) or any (`or`) of the filters.",
    "type": "object",
    "properties": {
        "type": {"enum": ["and", "or"]},
        "filters": {
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    {"$ref": "#/components/schemas/ComparisonFilter"},
                    {"$ref": "#/components/schemas/CompoundFilter"},
                ]
            },
        },
    },
    "required": ["type", "filters"],
    "additionalProperties": False,
}

TIMEOUT_PARAMETER = {
    "name": "X-Request-Timeout",
    "in": "header",
    "required": False,
    "description": "Seconds this request may take; the server has an upper limit.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}


def describe(operations: Sequence[Operation], *, version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    described = [operation for operation in operations if operation.described]
    types = _types(described)
    schemas, components = msgspec.json.schema_components([*types, ComparisonFilter, ErrorResponse], ref_template=REF)
    refs = dict(zip(types, schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for operation in described:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": version,
            "description": "Answers with citations from your own documents, in the shapes of OpenAI's API.",
        },
        "paths": paths,
        "components": {"schemas": {**components, "CompoundFilter": COMPOUND_FILTER}},
    }


def _types(operations: Sequence[Operation]) -> list[Any]:
    found = [
        kind
        for operation in operations
        for kind in (operation.body, operation.form, operation.answer, operation.events)
        if kind is not None
    ]
    return list(dict.fromkeys(found))


def _operation(operation: Operation, refs: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation, components),
        "responses": {
            "200": {"description": "The answer.", "content": _answer(operation, refs)},
            "default": {
                "description": "What went wrong. 429 and 503 say in Retry-After when to try again.",
                "content": {"application/json": {"schema": {"$ref": REF.format(name="ErrorResponse")}}},
            },
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": refs[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.form is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": refs[operation.form]}},
        }
    return described


def _answer(operation: Operation, refs: dict[Any, Any]) -> dict[str, Any]:
    schema = refs[operation.answer] if operation.answer is not None else {"type": "string"}
    content: dict[str, Any] = {operation.media: {"schema": schema}}
    if operation.events is not None:
        content["text/event-stream"] = {"schema": refs[operation.events]}
    return content


def _parameters(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    if operation.query is not None:
        (schema,), parts = msgspec.json.schema_components([operation.query], ref_template=REF)
        struct = parts[schema["$ref"].rpartition("/")[2]]
        components.update({name: part for name, part in parts.items() if part is not struct})
        parameters += [
            {"name": name, "in": "query", "required": name in struct["required"], "schema": field}
            for name, field in struct["properties"].items()
        ]
    if operation.ends_with_caller:
        parameters.append(TIMEOUT_PARAMETER)
    return parameters
