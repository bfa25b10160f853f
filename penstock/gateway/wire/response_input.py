"""`/v1/responses/{id}/input_items`: what an answer was made from, as it is kept and listed."""

from __future__ import annotations

from typing import Any, Literal

from penstock.gateway.wire.base import Answered
from penstock.gateway.wire.response_objects import FileSearchCall


class SourceFile(Answered, frozen=True, tag_field="type", tag="file_citation"):
    """A citation of an earlier answer, sent back."""

    file_id: str
    filename: str
    index: int


class InputText(Answered, frozen=True, tag_field="type", tag="input_text"):
    """A piece of what was asked."""

    text: str


class SaidText(Answered, frozen=True, tag_field="type", tag="output_text"):
    """A piece of an earlier answer, sent back."""

    text: str
    annotations: tuple[SourceFile, ...] = ()
    logprobs: tuple[Any, ...] = ()


class Refusal(Answered, frozen=True, tag_field="type", tag="refusal"):
    """An earlier answer that was a refusal, sent back."""

    refusal: str


class Message(Answered, frozen=True, tag_field="type", tag="message"):
    """One turn: `input_text` of a user or an instruction, `output_text` and `refusal` of an assistant."""

    id: str
    role: Literal["user", "system", "developer", "assistant"]
    content: list[InputText | SaidText | Refusal]
    status: Literal["in_progress", "completed", "incomplete"] = "completed"

    @property
    def text(self) -> str:
        """All of its text."""
        return "\n".join(part.refusal if isinstance(part, Refusal) else part.text for part in self.content)


Item = Message | FileSearchCall


class ResponseItemList(Answered, frozen=True):
    """One page of what an answer was made from."""

    data: list[Message | FileSearchCall]
    first_id: str
    last_id: str
    has_more: bool
    object: Literal["list"] = "list"
