"""One answer of `/v1/responses` on its way: writes what was heard as OpenAI's objects and events."""

from __future__ import annotations

import time
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from penstock.core.errors import RateLimited
from penstock.core.types import Delta, Hit, Usage
from penstock.gateway.errors import body_in_stream
from penstock.gateway.routes.answer import file_citation, info_of
from penstock.gateway.running import Heard
from penstock.gateway.wire import response_events as events
from penstock.gateway.wire.response_objects import (
    FileSearchCall,
    FileSearchResult,
    IncompleteDetails,
    InputTokens,
    OutputMessage,
    OutputText,
    Response,
    ResponseError,
    ResponseUsage,
)
from penstock.pipeline.question import Answering

encode = msgspec.json.Encoder().encode

EARLY_ENDS: dict[str, Literal["max_output_tokens", "content_filter"]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}


class Draft:
    """`heard` grows; `opening`, `more` and `closing` make the stream, `whole` the response.

    `asked` is the response as it stands before anything is known: in progress, with what was asked for.
    """

    def __init__(self, *, asked: Response, request_id: str, query: str | None, with_results: bool) -> None:
        self._asked = asked
        self._request_id = request_id
        self._query = query
        self._with_results = with_results
        self._key = asked.id.removeprefix("resp_")
        self.heard = Heard()
        self._sequence = 0
        self._searched: FileSearchCall | None = None

    # --- what comes in ----------------------------------------------------------

    def found(self, hits: tuple[Hit, ...]) -> None:
        """Take note of what the search found."""
        if self._query is not None:
            self._searched = FileSearchCall(
                id=f"fs_{self._key}",
                queries=[self._query],
                status="completed",
                results=[_result(hit, number) for number, hit in enumerate(hits, start=1)],
            )

    # --- the response -------------------------------------------------------------

    def whole(self, answering: Answering) -> Response:
        """The response, with the results of its search."""
        assert self.heard.finish is not None, "it was checked to be whole"
        early = EARLY_ENDS.get(self.heard.finish)
        message = OutputMessage(
            id=self._message_id, content=[self._content()], status="incomplete" if early else "completed"
        )
        return msgspec.structs.replace(
            self._asked,
            status="incomplete" if early else "completed",
            completed_at=None if early else int(time.time()),
            incomplete_details=IncompleteDetails(reason=early) if early else None,
            model=answering.model,
            output=[*([self._searched] if self._searched else []), message],
            usage=_usage(self.heard.usage),
            penstock=info_of(answering, self._request_id),
        )

    def shown(self, response: Response) -> Response:
        """The response as this caller asked to see it."""
        return response if self._with_results else without_results(response)

    # --- streamed -------------------------------------------------------------------

    def opening(self, answering: Answering) -> bytes:
        """From `response.created` to the beginning of the text."""
        self._asked = msgspec.structs.replace(self._asked, model=answering.model)
        made = self._event(events.Created, response=self._asked) + self._event(events.InProgress, response=self._asked)
        if self._searched is not None:
            made += self._search(self._searched)
        begun = OutputMessage(id=self._message_id, content=[], status="in_progress")
        made += self._event(events.ItemAdded, output_index=self._place, item=begun)
        return made + self._of_message(events.PartAdded, part=OutputText(text="", annotations=[]))

    def more(self, delta: Delta) -> bytes:
        """What this delta, already added, says to a reader."""
        made = self._of_message(events.TextDelta, delta=delta.text) if delta.text else b""
        first = len(self.heard.citations) - len(delta.citations)
        for place, citation in enumerate(delta.citations, start=first):
            made += self._of_message(events.AnnotationAdded, annotation=file_citation(citation), annotation_index=place)
        return made

    def closing(self, response: Response) -> bytes:
        """From the end of the text to `response.completed`, or `response.incomplete`."""
        made = self._of_message(events.TextDone, text=self.heard.text)
        made += self._of_message(events.PartDone, part=self._content())
        made += self._event(events.ItemDone, output_index=self._place, item=response.output[-1])
        last = events.Completed if response.status == "completed" else events.Incomplete
        return made + self._event(last, response=self.shown(response))

    def failed(self, error: Exception, request_id: str) -> bytes:
        """`response.failed`, whatever broke the stream off."""
        body = body_in_stream(error, request_id)
        response = msgspec.structs.replace(
            self._asked,
            status="failed",
            error=ResponseError(
                code="rate_limit_exceeded" if isinstance(error, RateLimited) else "server_error", message=body.message
            ),
        )
        return self._event(events.Failed, response=response)

    def _search(self, call: FileSearchCall) -> bytes:
        begun = msgspec.structs.replace(call, status="in_progress", results=None)
        shown = call if self._with_results else msgspec.structs.replace(call, results=None)
        return b"".join(
            [
                self._event(events.ItemAdded, output_index=0, item=begun),
                self._event(events.SearchInProgress, output_index=0, item_id=call.id),
                self._event(events.Searching, output_index=0, item_id=call.id),
                self._event(events.SearchCompleted, output_index=0, item_id=call.id),
                self._event(events.ItemDone, output_index=0, item=shown),
            ]
        )

    def _of_message(self, kind: type[events.OfItem], **fields: object) -> bytes:
        return self._event(kind, output_index=self._place, item_id=self._message_id, **fields)

    def _event(self, kind: type[events.Event], **fields: object) -> bytes:
        event = kind(sequence_number=self._sequence, **fields)
        self._sequence += 1
        name = kind.__struct_config__.tag
        return b"event: %b\ndata: %b\n\n" % (str(name).encode(), encode(event))

    # --- pieces ---------------------------------------------------------------------

    @property
    def _message_id(self) -> str:
        return f"msg_{self._key}"

    @property
    def _place(self) -> int:
        return 0 if self._searched is None else 1

    def _content(self) -> OutputText:
        return OutputText(
            text=self.heard.text, annotations=[file_citation(citation) for citation in self.heard.citations]
        )


def without_results(response: Response) -> Response:
    """The response without the passages that its search found."""
    output = [
        msgspec.structs.replace(item, results=None) if isinstance(item, FileSearchCall) else item
        for item in response.output
    ]
    return msgspec.structs.replace(response, output=output)


def _result(hit: Hit, number: int) -> FileSearchResult:
    return FileSearchResult(
        file_id=hit.file_id,
        filename=hit.filename,
        text=hit.chunk.text,
        score=hit.score,
        attributes=hit.attributes,
        chunk_id=hit.chunk.id,
        number=number,
    )


def _usage(usage: Usage | None) -> ResponseUsage | UnsetType:
    if usage is None:
        return UNSET
    return ResponseUsage(
        input_tokens=usage.prompt,
        output_tokens=usage.output,
        total_tokens=usage.prompt + usage.output,
        input_tokens_details=InputTokens(cached_tokens=usage.cached),
    )
