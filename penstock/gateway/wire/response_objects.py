"""`/v1/responses`: what we send."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from penstock.core.types import AttributeValue
from penstock.gateway.wire.base import Answered
from penstock.gateway.wire.chat import AnswerInfo, FileCitation


class OutputText(Answered, frozen=True):
    """The answer's text, and what its statements rest on."""

    text: str
    annotations: list[FileCitation]
    logprobs: tuple[Any, ...] = ()
    type: Literal["output_text"] = "output_text"


class FileSearchResult(Answered, frozen=True):
    """One passage. `number` is what `[n]` in the answer means."""

    file_id: str
    filename: str
    text: str
    score: float
    attributes: dict[str, AttributeValue]
    chunk_id: str
    number: int


class FileSearchCall(Answered, frozen=True, tag_field="type", tag="file_search_call"):
    """The search. `results` are there when `include` asks for them."""

    id: str
    queries: list[str]
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"]
    results: list[FileSearchResult] | None = None


class OutputMessage(Answered, frozen=True, tag_field="type", tag="message"):
    """What was answered."""

    id: str
    content: list[OutputText]
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    role: Literal["assistant"] = "assistant"


class InputTokens(Answered, frozen=True):
    """`cached_tokens` came from the engine's prefix cache."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Answered, frozen=True):
    """None of ours are spent on reasoning that is not shown."""

    reasoning_tokens: int = 0


class ResponseUsage(Answered, frozen=True):
    """Tokens of this answer."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokens
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()


class ResponseError(Answered, frozen=True):
    """What went wrong in the middle of an answer."""

    code: Literal["server_error", "rate_limit_exceeded"]
    message: str


class IncompleteDetails(Answered, frozen=True):
    """Why an answer ended early."""

    reason: Literal["max_output_tokens", "content_filter"]


class TextFormat(Answered, frozen=True):
    """Plain text."""

    type: Literal["text"] = "text"


class TextOptions(Answered, frozen=True):
    """How the text is shaped."""

    format: TextFormat = TextFormat()


class RankingUsed(Answered, frozen=True):
    """Hits below `score_threshold` were left out."""

    score_threshold: float
    ranker: Literal["auto"] = "auto"


class FileSearchUsed(Answered, frozen=True):
    """Where the answer was looked for, by id."""

    vector_store_ids: list[str]
    max_num_results: int
    ranking_options: RankingUsed
    filters: dict[str, Any] | None = None
    type: Literal["file_search"] = "file_search"


class Response(Answered, frozen=True):
    """An answer, with what was asked for beside its input."""

    id: str
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    model: str
    output: list[FileSearchCall | OutputMessage]
    tools: list[FileSearchUsed]
    tool_choice: str | dict[str, Any]
    store: bool
    metadata: dict[str, str]
    completed_at: int | None = None
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    previous_response_id: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    parallel_tool_calls: bool = True
    background: bool = False
    reasoning: None = None
    text: TextOptions = TextOptions()
    truncation: Literal["auto"] = "auto"
    usage: ResponseUsage | UnsetType = UNSET
    user: str | UnsetType = UNSET
    penstock: AnswerInfo | UnsetType = UNSET
    object: Literal["response"] = "response"


class ResponseDeleted(Answered, frozen=True):
    """It is gone."""

    id: str
    deleted: bool = True
    object: Literal["response"] = "response"
