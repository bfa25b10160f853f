"""`/v1/vector_stores`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from penstock.core.types import AttributeValue
from penstock.gateway.wire.base import Answered, Asked, FilterJson, MaxResults, TimeoutS


class FileCounts(Answered, frozen=True):
    """Files of a store by state."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class ExpiresAfter(Asked, frozen=True):
    """A store left alone for so long expires."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class StoreInfo(Answered, frozen=True):
    """What Penstock says beyond OpenAI's fields: the encoder whose vectors the store answers with."""

    embedder: str
    dimension: int


class VectorStore(Answered, frozen=True):
    """A vector store."""

    id: str
    created_at: int
    name: str
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    penstock: StoreInfo
    last_active_at: int | None = None
    metadata: dict[str, str] | None = None
    expires_after: ExpiresAfter | UnsetType = UNSET
    expires_at: int | None = None
    object: Literal["vector_store"] = "vector_store"


class VectorStoreList(Answered, frozen=True):
    """One page of stores."""

    data: list[VectorStore]
    first_id: str
    last_id: str
    has_more: bool
    object: Literal["list"] = "list"


class ListQuery(Asked, frozen=True):
    """Which page: `after` and `before` are ids out of an earlier one."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


class RankingOptions(Asked, frozen=True):
    """Only hits of at least `score_threshold`. `ranker` `none` leaves a reranker out; the other names mean ours."""

    ranker: Literal["none", "auto", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None


class SearchRequest(Asked, frozen=True):
    """What to look for. `rewrite_query` is accepted; `search_query` of the answer says what was searched for."""

    query: str | Annotated[list[str], Meta(min_length=1, max_length=16)]
    rewrite_query: bool | None = None
    max_num_results: MaxResults | None = None
    filters: FilterJson | None = None
    ranking_options: RankingOptions | None = None
    timeout: TimeoutS | None = None


class SearchContent(Answered, frozen=True):
    """A chunk's text."""

    text: str
    type: Literal["text"] = "text"


class SearchResult(Answered, frozen=True):
    """One chunk that was found."""

    file_id: str
    filename: str
    score: Annotated[float, Meta(ge=0, le=1)]
    attributes: dict[str, AttributeValue]
    content: list[SearchContent]


class SearchPage(Answered, frozen=True):
    """The best chunks, best first."""

    search_query: list[str]
    data: list[SearchResult]
    has_more: bool = False
    next_page: str | None = None
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
