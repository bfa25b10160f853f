"""`/v1/responses`, streamed: one struct for each event. `sequence_number` counts a stream's events from 0."""

from __future__ import annotations

from typing import Any

from penstock.gateway.wire.base import Answered
from penstock.gateway.wire.chat import FileCitation
from penstock.gateway.wire.response_objects import FileSearchCall, OutputMessage, OutputText, Response


class Event(Answered, frozen=True, tag_field="type"):
    """Base of all events."""

    sequence_number: int


class Lifecycle(Event, frozen=True, tag="response"):
    """The answer as it stands."""

    response: Response


class Created(Lifecycle, frozen=True, tag="response.created"):
    """It has an id."""


class InProgress(Lifecycle, frozen=True, tag="response.in_progress"):
    """Work has begun."""


class Completed(Lifecycle, frozen=True, tag="response.completed"):
    """The whole answer. Where it is to be kept, it is."""


class Incomplete(Lifecycle, frozen=True, tag="response.incomplete"):
    """The answer ended early; `incomplete_details` says why."""


class Failed(Lifecycle, frozen=True, tag="response.failed"):
    """The answer broke; `error` says why. Nothing of it is kept."""


class ItemAdded(Event, frozen=True, tag="response.output_item.added"):
    """A piece of the output begins."""

    output_index: int
    item: FileSearchCall | OutputMessage


class ItemDone(Event, frozen=True, tag="response.output_item.done"):
    """A piece of the output is whole."""

    output_index: int
    item: FileSearchCall | OutputMessage


class OfItem(Event, frozen=True, tag="response.item"):
    """Something of one piece of the output."""

    output_index: int
    item_id: str


class SearchInProgress(OfItem, frozen=True, tag="response.file_search_call.in_progress"):
    """The search begins."""


class Searching(OfItem, frozen=True, tag="response.file_search_call.searching"):
    """It is under way."""


class SearchCompleted(OfItem, frozen=True, tag="response.file_search_call.completed"):
    """It has ended."""


class PartAdded(OfItem, frozen=True, tag="response.content_part.added"):
    """The text begins."""

    part: OutputText
    content_index: int = 0


class PartDone(OfItem, frozen=True, tag="response.content_part.done"):
    """The text is whole."""

    part: OutputText
    content_index: int = 0


class TextDelta(OfItem, frozen=True, tag="response.output_text.delta"):
    """More text."""

    delta: str
    content_index: int = 0
    logprobs: tuple[Any, ...] = ()


class TextDone(OfItem, frozen=True, tag="response.output_text.done"):
    """All of the text."""

    text: str
    content_index: int = 0
    logprobs: tuple[Any, ...] = ()


class AnnotationAdded(OfItem, frozen=True, tag="response.output_text.annotation.added"):
    """What a statement rests on."""

    annotation: FileCitation
    annotation_index: int
    content_index: int = 0


ResponseEvent = (
    Created
    | InProgress
    | ItemAdded
    | SearchInProgress
    | Searching
    | SearchCompleted
    | ItemDone
    | PartAdded
    | TextDelta
    | AnnotationAdded
    | TextDone
    | PartDone
    | Completed
    | Incomplete
    | Failed
)
"""What a stream is made of, in this order; Failed may come at any time, and is the last then."""
