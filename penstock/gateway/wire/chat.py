"""`/v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from penstock.gateway.wire.base import Answered, Asked, FilterJson, MaxResults, StoreName, TimeoutS

Probability = Annotated[float, Meta(ge=0, le=1)]
OutputTokens = Annotated[int, Meta(ge=1)]
Role = Literal["system", "developer", "user", "assistant"]

# --- what callers send --------------------------------------------------------


class TextPart(Asked, frozen=True):
    """A piece of a message; text is the only kind we take."""

    type: str
    text: str = ""


class ChatMessage(Asked, frozen=True):
    """One turn. The fields after `content` let an assistant's message out of an answer be sent back as it is."""

    role: Role
    content: str | list[TextPart] | None = None
    name: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None


class StreamOptions(Asked, frozen=True):
    """`include_usage` adds a last chunk with the tokens used."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(Asked, frozen=True):
    """OpenAI's request, and which stores to answer from (`vector_store_ids`: ids or names, [] none, else all)."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    model: Annotated[str, Meta(max_length=256)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    max_tokens: OutputTokens | None = None
    max_completion_tokens: OutputTokens | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    # Ours: where to look, and for how long.
    vector_store_ids: Annotated[list[StoreName], Meta(max_length=64)] | None = None
    filters: FilterJson | None = None
    max_num_results: MaxResults | None = None
    timeout: TimeoutS | None = None
    # Accepted: they do not change the answer.
    user: str | None = None
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None
    # Accepted only with the value that asks for nothing: see NEUTRAL.
    n: int | None = None
    store: bool | None = None
    logprobs: bool | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_format: dict[str, Any] | None = None
    modalities: list[str] | None = None
    logit_bias: dict[str, float] | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None


NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "store": (False,),
    "logprobs": (False,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
}
"""Parameters that we do not offer, with the values at which leaving them out means the same."""


# --- what we send -------------------------------------------------------------


class UrlCitation(Answered, frozen=True):
    """OpenAI's citation in chat: the characters `start_index` to `end_index` of the answer rest on `url`."""

    start_index: int
    end_index: int
    url: str
    title: str


class FileCitation(Answered, frozen=True):
    """The same in the words of OpenAI's file search, and which sentence: `start` to `end` of passage `number`."""

    index: int
    file_id: str
    filename: str
    chunk_id: str
    number: int
    quote: str
    start: int
    end: int
    type: Literal["file_citation"] = "file_citation"


class Annotation(Answered, frozen=True):
    """One citation: OpenAI's form, and beside it ours."""

    url_citation: UrlCitation
    file_citation: FileCitation
    type: Literal["url_citation"] = "url_citation"


class AnswerMessage(Answered, frozen=True):
    """The assistant's turn."""

    content: str
    annotations: list[Annotation]
    refusal: str | None = None
    role: Literal["assistant"] = "assistant"


class Choice(Answered, frozen=True):
    """The one answer."""

    message: AnswerMessage
    finish_reason: Literal["stop", "length", "content_filter"]
    index: int = 0
    logprobs: None = None


class PromptTokens(Answered, frozen=True):
    """`cached_tokens` came from the engine's prefix cache."""

    cached_tokens: int = 0


class CompletionUsage(Answered, frozen=True):
    """Tokens of this answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens


class Span(Answered, frozen=True):
    """Character offsets in a passage's text."""

    start: int
    end: int


class Passage(Answered, frozen=True):
    """What the answer could rest on; `quotes` are the sentences it did rest on."""

    number: int
    store_id: str
    file_id: str
    filename: str
    chunk_id: str
    title: str
    headings: list[str]
    page: int
    text: str
    score: float
    quotes: list[Span]


class Alternative(Answered, frozen=True):
    """A model that did not answer, and why not."""

    model: str
    why: str


class AnswerInfo(Answered, frozen=True):
    """What OpenAI's shape has no place for."""

    request_id: str
    model: str
    reason: str
    alternatives: list[Alternative]
    abstained: bool
    confidence: float | None
    coverage: float
    degraded: list[str]
    timings_ms: dict[str, float]


class PenstockInfo(AnswerInfo, frozen=True):
    """The same, and what the answer could rest on."""

    passages: list[Passage]


class ChatCompletion(Answered, frozen=True):
    """A whole answer."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    penstock: PenstockInfo
    usage: CompletionUsage | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    object: Literal["chat.completion"] = "chat.completion"


class ChunkDelta(Answered, frozen=True):
    """What a chunk adds."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    annotations: list[Annotation] | UnsetType = UNSET


class ChunkChoice(Answered, frozen=True):
    """A piece of the one answer; the last piece has `finish_reason` and the annotations."""

    delta: ChunkDelta
    finish_reason: Literal["stop", "length", "content_filter"] | None = None
    index: int = 0
    logprobs: None = None


class ChatChunk(Answered, frozen=True):
    """One event of a streamed answer. The chunk with `finish_reason` carries `penstock`."""

    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | UnsetType | None = UNSET
    penstock: PenstockInfo | UnsetType = UNSET
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
