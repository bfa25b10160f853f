"""What the tools take and give. Their JSON schemas are made from these structs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from penstock.gateway.wire.base import Answered, Asked, FilterJson, MaxResults, StoreName

StoreNames = Annotated[
    list[StoreName],
    Meta(min_length=1, max_length=64, description="Vector stores to look in, by id or name; all when left out."),
]
Filters = Annotated[
    FilterJson,
    Meta(
        description='Only files with these attributes: {"type": "eq", "key": "year", "value": 2026}, or and/or of such.'
    ),
]


class SearchInput(Asked, frozen=True):
    """What `search` takes."""

    query: Annotated[str, Meta(min_length=1, description="What to look for, as a question or in words.")]
    vector_store_ids: StoreNames | None = None
    max_num_results: MaxResults = 8
    filters: Filters | None = None


class AskInput(Asked, frozen=True):
    """What `ask` takes."""

    question: Annotated[str, Meta(min_length=1)]
    vector_store_ids: StoreNames | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50, description="Passages that the answer may rest on.")] = 8
    filters: Filters | None = None
    model: Annotated[str, Meta(max_length=256, description="Who answers; the server chooses when left out.")] = "auto"


class FoundPassage(Answered, frozen=True):
    """A passage that was found. `uri` is a resource: reading it gives the passage."""

    number: int
    uri: str
    file_id: str
    filename: str
    title: str
    headings: list[str]
    page: int
    score: float
    text: str


class SearchOutput(Answered, frozen=True):
    """The best passages, best first; `degraded` says what did not take part, and why."""

    results: list[FoundPassage]
    degraded: list[str]


class CitedSentence(Answered, frozen=True):
    """What `[number]` in the answer rests on."""

    number: int
    uri: str
    file_id: str
    filename: str
    title: str
    page: int
    quote: str


class AskOutput(Answered, frozen=True):
    """An answer. `abstained`: the documents do not carry one, and the text says so."""

    answer: str
    abstained: bool
    confidence: float | None
    citations: list[CitedSentence]
    model: str
    degraded: list[str]


def schema_of(kind: type) -> dict[str, Any]:
    """The struct's JSON schema with an object at its root, as MCP wants it."""
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = dict(parts.pop(root["$ref"].rpartition("/")[2]))
    _inline_filters(schema)
    return schema | ({"$defs": parts} if parts else {})


def _inline_filters(schema: dict[str, Any]) -> None:
    # The filters' own schema lies in the description of the HTTP API; a reference to it would lead nowhere here.
    filters = schema.get("properties", {}).get("filters")
    for option in [filters, *(filters or {}).get("anyOf", [])]:
        if option is not None:
            option.pop("oneOf", None)
