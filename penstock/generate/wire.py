"""The OpenAI wire, as little of it as we need: what is sent, and the few fields that are read back.

Answers are decoded into partial structs: msgspec skips every other field without making an object of it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.core.types import FinishReason, Message, Prompt, Usage

Api = Literal["chat", "completions"]
LimitField = Literal["max_tokens", "max_completion_tokens"]

FINISHES: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "eos_token": "stop",
    "stop_sequence": "stop",
}
"""What servers call the end of an answer. Any other word is a fault: an answer of unknown end is not complete."""


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool


class _Turn(msgspec.Struct, frozen=True):
    role: str
    content: str


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request for chat or for completions; what is None stays out."""

    model: str
    messages: list[_Turn] | None = None
    prompt: str | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: list[str] | None = None
    seed: int | None = None


class _Cached(msgspec.Struct):
    cached_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """Tokens as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None

    def as_usage(self) -> Usage:
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0
        return Usage(prompt=self.prompt_tokens, cached=cached or 0, output=self.completion_tokens)


class _Content(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class WireChoice(msgspec.Struct):
    """One choice of an event (`delta`), of a whole answer (`message`), or of a completion (`text`)."""

    delta: _Content | None = None
    message: _Content | None = None
    text: str | None = None
    finish_reason: str | None = None

    def words(self) -> str:
        part = self.delta or self.message
        if part is None:
            return self.text or ""
        return part.content or part.refusal or ""


class WireFault(msgspec.Struct):
    """OpenAI's error object; other servers leave parts of it out."""

    message: str = ""
    code: str | int | None = None
    type: str | None = None
    param: str | None = None


class Event(msgspec.Struct):
    """One event of a stream, or one whole answer."""

    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    error: WireFault | str | None = None

    def fault(self) -> WireFault | None:
        return WireFault(message=self.error) if isinstance(self.error, str) else self.error


class _FaultBody(msgspec.Struct):
    error: WireFault | str | None = None
    message: str | None = None
    detail: str | None = None


event_decoder = msgspec.json.Decoder(Event)
_fault_decoder = msgspec.json.Decoder(_FaultBody)
_encoder = msgspec.json.Encoder()


def request_body(
    prompt: Prompt, *, model: str, api: Api, streamed: bool, ask_usage: bool, limit_field: LimitField
) -> bytes:
    """The JSON to send for `prompt`."""
    messages = prompt.messages or (Message(role="user", content=prompt.question),)
    sampling = prompt.sampling
    body = Body(
        model=model,
        messages=[_turn(message) for message in messages] if api == "chat" else None,
        prompt=as_text(messages) if api == "completions" else None,
        stream=streamed,
        stream_options=_StreamOptions(True) if streamed and ask_usage else None,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens if limit_field == "max_tokens" else None,
        max_completion_tokens=sampling.max_tokens if limit_field == "max_completion_tokens" else None,
        stop=list(sampling.stop) or None,
        seed=sampling.seed,
    )
    return _encoder.encode(body)


def _turn(message: Message) -> _Turn:
    # Most servers other than OpenAI's own do not know the role "developer"; all know "system".
    return _Turn("system" if message.role == "developer" else message.role, message.content)


def as_text(messages: tuple[Message, ...]) -> str:
    """Messages for an engine that takes one text: the first ones bare, later turns with who speaks."""
    parts = [
        message.content if message.role in ("system", "developer") else f"{message.role}: {message.content}"
        for message in messages
    ]
    return "\n\n".join([*parts, "assistant:"])


def read_fault(body: bytes) -> WireFault:
    """The error in a response's body; an empty one where the body is none of the known shapes."""
    try:
        found = _fault_decoder.decode(body)
    except msgspec.DecodeError:
        return WireFault()
    if isinstance(found.error, str):
        return WireFault(message=found.error)
    return found.error or WireFault(message=found.message or found.detail or "")
