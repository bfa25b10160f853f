"""`/v1/rerank` and `/v2/rerank`, in Cohere's shape."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from penstock.gateway.wire.base import Answered, Asked, TimeoutS


class RerankText(Asked, frozen=True):
    """A document as an object."""

    text: str


class RerankRequest(Asked, frozen=True):
    """Texts to put in order for a question. `model` is `auto`, the server's reranker, or `penstock-similarity`."""

    query: str
    documents: Annotated[list[str | RerankText], Meta(min_length=1, max_length=1000)]
    model: Annotated[str, Meta(max_length=256)] = "auto"
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = False
    max_tokens_per_doc: Annotated[int, Meta(ge=1)] = 4096
    timeout: TimeoutS | None = None


class RerankedText(Answered, frozen=True):
    """A document, on request."""

    text: str


class RerankResult(Answered, frozen=True):
    """One document's place among those sent, and how well it fits, 0 to 1."""

    index: int
    relevance_score: float
    document: RerankedText | UnsetType = UNSET


class ApiVersion(Answered, frozen=True):
    """Whose shape this is."""

    version: str


class BilledUnits(Answered, frozen=True):
    """Cohere's unit: one search."""

    search_units: int = 1


class RerankMeta(Answered, frozen=True):
    """`warnings` says what was left out, and why."""

    api_version: ApiVersion
    billed_units: BilledUnits
    warnings: list[str] | UnsetType = UNSET


class RerankAnswer(Answered, frozen=True):
    """The best documents, best first, and the model that said so."""

    id: str
    model: str
    results: list[RerankResult]
    meta: RerankMeta
