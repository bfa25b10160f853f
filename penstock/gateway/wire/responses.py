"""`/v1/responses`: what callers send."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from penstock.gateway.wire.base import Asked, FilterJson, MaxResults, StoreName, TimeoutS
from penstock.gateway.wire.chat import OutputTokens, Probability, StreamOptions
from penstock.gateway.wire.vector_store_changes import Metadata
from penstock.gateway.wire.vector_stores import RankingOptions

Role = Literal["user", "assistant", "system", "developer"]
ResponseId = Annotated[str, Meta(min_length=1, max_length=256)]


class InputPart(Asked, frozen=True):
    """A piece of a message. `output_text` and `refusal` are pieces of earlier answers, sent back as they came."""

    type: Literal["input_text", "output_text", "refusal"]
    text: str = ""
    refusal: str = ""
    annotations: list[dict[str, Any]] | None = None
    logprobs: list[Any] | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class MessageItem(Asked, frozen=True):
    """One turn."""

    role: Role
    content: str | Annotated[list[InputPart], Meta(min_length=1)]
    type: Literal["message"] = "message"
    id: Annotated[str, Meta(max_length=256)] | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class FileSearchCallItem(Asked, frozen=True):
    """An earlier search, sent back as it came; it does not change the answer."""

    type: Literal["file_search_call"]
    queries: list[str]
    id: Annotated[str, Meta(max_length=256)] | None = None
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] | None = None
    results: list[dict[str, Any]] | None = None


class FileSearchTool(Asked, frozen=True):
    """Where to look, by id or name."""

    type: Literal["file_search"]
    vector_store_ids: Annotated[list[StoreName], Meta(min_length=1, max_length=64)]
    max_num_results: MaxResults | None = None
    filters: FilterJson | None = None
    ranking_options: RankingOptions | None = None


ItemJson = Annotated[
    dict[str, Any],
    Meta(
        extra_json_schema={
            "oneOf": [
                {"$ref": "#/components/schemas/MessageItem"},
                {"$ref": "#/components/schemas/FileSearchCallItem"},
            ]
        }
    ),
]
"""Read by gateway/items.py, which names an item of a kind that we do not take."""
ToolJson = Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/FileSearchTool"})]
"""Read by gateway/tools.py, likewise."""
Items = Annotated[list[ItemJson], Meta(min_length=1, max_length=2_000)]
Tools = Annotated[
    list[ToolJson],
    Meta(
        max_length=1,
        description="One `file_search`. Left out: all of the caller's stores. Empty: an answer without a search.",
    ),
]


class ResponseRequest(Asked, frozen=True):
    """OpenAI's request. Unless `store` is false, the answer is kept, and can be gone on from."""

    input: str | Items
    model: Annotated[str, Meta(max_length=256)] | None = None
    instructions: str | None = None
    previous_response_id: ResponseId | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Tools | None = None
    tool_choice: str | dict[str, Any] | None = None
    include: list[str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    max_output_tokens: OutputTokens | None = None
    metadata: Metadata | None = None
    # Ours.
    timeout: TimeoutS | None = None
    # Accepted: they do not change the answer.
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    # Accepted only with the value that asks for nothing: see NEUTRAL.
    background: bool | None = None
    truncation: str | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    top_logprobs: int | None = None
    conversation: Any = None
    prompt: Any = None
    moderation: Any = None
    context_management: Any = None


NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "truncation": ("auto",),
    "text": (
        {"format": {"type": "text"}},
        {},
        {"verbosity": "medium"},
        {"format": {"type": "text"}, "verbosity": "medium"},
    ),
    "reasoning": ({}, {"effort": None}, {"effort": None, "summary": None}),
    "top_logprobs": (0,),
    "conversation": (),
    "prompt": (),
    "moderation": (),
    "context_management": (),
}
"""Parameters that we do not offer, with the values at which leaving them out means the same."""

INCLUDED = "file_search_call.results"
NOTHING_TO_INCLUDE = frozenset(
    {
        "web_search_call.results",
        "web_search_call.action.sources",
        "message.input_image.image_url",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
        "reasoning.encrypted_content",
    }
)
"""They ask for more of what is in no answer of ours, so they change nothing."""


class ResponseQuery(Asked, frozen=True):
    """What to show beside the answer."""

    include: list[str] | None = None


class InputItemsQuery(Asked, frozen=True):
    """Which page: `after` is an id out of an earlier one."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    include: list[str] | None = None
