"""`/v1/responses/{id}`: answers that were kept."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.catalog.responses import KeptResponse, KeptResponses
from penstock.core.errors import InvalidRequest, UnsupportedParameter
from penstock.core.types import Message as Turn
from penstock.gateway.items import WITHDRAWN, turns_of
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.routes.response_draft import without_results
from penstock.gateway.wire.response_input import Item, ResponseItemList
from penstock.gateway.wire.response_objects import (
    FileSearchCall,
    OutputMessage,
    OutputText,
    Response,
    ResponseDeleted,
)
from penstock.gateway.wire.responses import INCLUDED, NOTHING_TO_INCLUDE, InputItemsQuery, ResponseQuery

encode = msgspec.json.Encoder().encode
read_response = msgspec.json.Decoder(Response).decode
read_output = msgspec.json.Decoder(list[FileSearchCall | OutputMessage]).decode
read_input = msgspec.json.Decoder(list[Item]).decode


class ResponseHistory:
    """What is kept of the caller's answers."""

    def __init__(self, *, kept: KeptResponses) -> None:
        self._kept = kept

    def operations(self) -> list[Operation]:
        path = "/v1/responses/{response_id}"
        return [
            Operation(
                method="GET",
                path=path,
                name="getResponse",
                summary="An answer that was kept. Its text is withdrawn once a document that it rests on is deleted.",
                handle=self.get,
                query=ResponseQuery,
                answer=Response,
            ),
            Operation(
                method="DELETE",
                path=path,
                name="deleteResponse",
                summary="Delete an answer, also out of the conversations that go on from it.",
                handle=self.delete,
                answer=ResponseDeleted,
                scope="write",
            ),
            Operation(
                method="GET",
                path=f"{path}/input_items",
                name="listInputItems",
                summary="What an answer was asked with, page by page.",
                handle=self.input_items,
                query=InputItemsQuery,
                answer=ResponseItemList,
            ),
        ]

    async def get(self, call: Call) -> Reply:
        asked: ResponseQuery = call.query
        with_results = wants_results(asked.include)
        response = response_of(await self._kept.get(call.ctx.principal, call.path("response_id")))
        return Reply(body=encode(response if with_results else without_results(response)))

    async def delete(self, call: Call) -> Reply:
        identifier = call.path("response_id")
        await self._kept.forget(call.ctx.principal, identifier)
        return Reply(body=encode(ResponseDeleted(id=identifier)))

    async def input_items(self, call: Call) -> Reply:
        asked: InputItemsQuery = call.query
        wants_results(asked.include)
        kept = await self._kept.get(call.ctx.principal, call.path("response_id"))
        items = read_input(kept.input)
        if asked.order == "desc":
            items.reverse()
        places = {item.id: place for place, item in enumerate(items)}
        if asked.after is not None and asked.after not in places:
            raise InvalidRequest("'after' is not the id of an item of this response.", param="after")
        first = 0 if asked.after is None else places[asked.after] + 1
        page = items[first : first + asked.limit]
        body = ResponseItemList(
            data=page,
            first_id=page[0].id if page else "",
            last_id=page[-1].id if page else "",
            has_more=first + len(page) < len(items),
        )
        return Reply(body=encode(body))


def kept_of(response: Response, items: Sequence[Item]) -> KeptResponse:
    """How an answer is kept: what rests on documents apart from the rest."""
    return KeptResponse(
        id=response.id,
        previous_id=response.previous_response_id,
        body=encode(msgspec.structs.replace(response, output=[])).decode(),
        input=encode(items).decode(),
        output=encode(response.output).decode(),
    )


def response_of(kept: KeptResponse) -> Response:
    """The answer as it was given; without its text where that was withdrawn."""
    response = read_response(kept.body)
    if kept.output is not None:
        return msgspec.structs.replace(response, output=read_output(kept.output))
    notice = OutputMessage(
        id=f"msg_{kept.id.removeprefix('resp_')}", content=[OutputText(text=WITHDRAWN, annotations=[])]
    )
    return msgspec.structs.replace(response, output=[notice])


def said_in(kept: KeptResponse) -> list[Turn]:
    """What was asked and answered, as an engine reads it."""
    answer = response_of(kept).output[-1]
    assert isinstance(answer, OutputMessage), "the search comes before the answer"
    text = "".join(part.text for part in answer.content)
    return [*turns_of(read_input(kept.input)), Turn(role="assistant", content=text)]


def wants_results(include: Sequence[str] | None) -> bool:
    """Whether to show what searches found. Raises UnsupportedParameter for what there is not."""
    for place, name in enumerate(include or ()):
        if name == "message.output_text.logprobs":
            raise UnsupportedParameter(f"include[{place}]")
        if name != INCLUDED and name not in NOTHING_TO_INCLUDE:
            raise InvalidRequest(f"There is nothing of that name; there is '{INCLUDED}'.", param=f"include[{place}]")
    return INCLUDED in (include or ())
