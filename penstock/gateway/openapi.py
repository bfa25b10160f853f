"""The description of the API, made from the operations and their structs, so that it cannot say anything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.gateway.operation import Operation
from penstock.gateway.wire.base import ComparisonFilter, ErrorResponse
from penstock.gateway.wire.responses import FileSearchCallItem, FileSearchTool, MessageItem

REF = "#/components/schemas/{name}"

NAMED = (ComparisonFilter, ErrorResponse, MessageItem, FileSearchCallItem, FileSearchTool)
"""Structs that fields refer to by name because msgspec cannot tell them apart, or because they are in every answer."""

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


REQUEST_ID = {
    "description": "The server's log has this request under this id.",
    "schema": {"type": "string"},
}
RETRY_AFTER = {"description": "Seconds after which to try again; with 429 and 503.", "schema": {"type": "integer"}}
ERROR = {
    "description": "What went wrong: `code` is for programs, `message` for people, `param` names the field.",
    "headers": {
        "X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"},
        "Retry-After": {"$ref": "#/components/headers/Retry-After"},
    },
    "content": {"application/json": {"schema": {"$ref": REF.format(name="ErrorResponse")}}},
}
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key. Without keys the server answers to its own machine only, and asks for none.",
}


def describe(operations: Sequence[Operation], *, version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    described = [operation for operation in operations if operation.described]
    types = _types(described)
    schemas, components = msgspec.json.schema_components([*types, *NAMED], ref_template=REF)
    refs = dict(zip(types, schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for operation in described:
        one = _operation(operation, refs, components)
        paths.setdefault(operation.described_path, {})[operation.method.lower()] = one
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": version,
            "description": "Answers with citations from your own documents, in the shapes of OpenAI's API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "tags": [{"name": tag} for tag in dict.fromkeys(tag_of(operation) for operation in described)],
        "paths": paths,
        "components": {
            "schemas": {**components, "CompoundFilter": COMPOUND_FILTER},
            "headers": {"X-Request-Id": REQUEST_ID, "Retry-After": RETRY_AFTER},
            "responses": {"Error": ERROR},
            "securitySchemes": {"key": KEY},
        },
    }


def tag_of(operation: Operation) -> str:
    """The resource that an operation belongs to."""
    parts = operation.path.split("/")
    if parts[1] != "v1":
        return "service"
    return " ".join(part.replace("_", " ") for part in parts[2:3] + parts[4:5] if "{" not in part)


def _types(operations: Sequence[Operation]) -> list[Any]:
    found = [
        kind
        for operation in operations
        for kind in (
            operation.body,
            operation.form,
            operation.answer,
            operation.events,
            *(kind for _, kind in operation.otherwise),
        )
        if kind is not None
    ]
    return list(dict.fromkeys(found))


def _operation(operation: Operation, refs: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    request_id = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [tag_of(operation)],
        "parameters": _parameters(operation, components),
        "responses": {
            "200": {"description": "The answer.", "headers": request_id, "content": _answer(operation, refs)},
            **{
                str(status): {
                    "description": "Not now.",
                    "headers": request_id,
                    "content": {"application/json": {"schema": refs[kind]}},
                }
                for status, kind in operation.otherwise
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    if operation.scope is None:
        described["security"] = []
    else:
        described["description"] = f"Needs a key with the scope `{operation.scope}`, where keys are in use."
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
    schema = refs[operation.answer] if operation.answer is not None else _bytes(operation.media)
    content: dict[str, Any] = {operation.media: {"schema": schema}}
    if operation.events is not None:
        content["text/event-stream"] = {"schema": refs[operation.events]}
    return content


def _bytes(media: str) -> dict[str, Any]:
    """What is not JSON: text, or bytes, of which a schema can say nothing."""
    return {"type": "string"} if media.startswith("text/") else {}


def _parameters(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.described_path)
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
