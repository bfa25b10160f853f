"""`/v1/responses`: the last message of the input is the question; the answer rests on the stores of `file_search`."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from msgspec import UNSET

from penstock.catalog.responses import KeptResponses, Turns
from penstock.core.errors import InvalidRequest, NotFound, UnsupportedParameter
from penstock.core.types import Message, Sampling, Store
from penstock.gateway.directory import StoreCatalog, stores_meant
from penstock.gateway.filters import read_filters
from penstock.gateway.items import cited_files, own_words, read_items, turns_of
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Events, Reply
from penstock.gateway.routes.chat import DEFAULT_PASSAGES, OUR_CHOICE
from penstock.gateway.routes.response_draft import Draft
from penstock.gateway.routes.response_history import kept_of, said_in, wants_results
from penstock.gateway.running import running
from penstock.gateway.tools import read_tools, wants_search
from penstock.gateway.wire.response_events import ResponseEvent
from penstock.gateway.wire.response_input import Item
from penstock.gateway.wire.response_objects import FileSearchUsed, RankingUsed, Response
from penstock.gateway.wire.responses import NEUTRAL, FileSearchTool, ResponseRequest
from penstock.pipeline.question import Answering, Question, QuestionPipeline
from penstock.telemetry.metrics import Metrics

encode = msgspec.json.Encoder().encode

MAX_TURNS = 50
"""How far back a conversation is read; engines condense it to far less."""
DAY_S = 86_400.0


class Asking(msgspec.Struct, frozen=True):
    """A request, read and checked."""

    request: ResponseRequest
    items: list[Item]
    before: Turns
    tool: FileSearchTool | None
    stores: tuple[Store, ...]
    searches: bool
    with_results: bool
    asked_s: float


class Responses:
    """Answers, whole or as they come; kept for `keep_days`, unless the caller does not want that."""

    def __init__(
        self,
        *,
        questions: QuestionPipeline,
        stores: StoreCatalog,
        kept: KeptResponses,
        metrics: Metrics,
        keep_days: int,
    ) -> None:
        self._questions = questions
        self._stores = stores
        self._kept = kept
        self._metrics = metrics
        self._keep_days = keep_days

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="POST",
                path="/v1/responses",
                name="createResponse",
                summary="An answer out of the caller's stores, with citations; whole, or event by event.",
                handle=self.create,
                body=ResponseRequest,
                answer=Response,
                events=ResponseEvent,
                ends_with_caller=True,
                door="answer",
            )
        ]

    async def create(self, call: Call) -> Reply | Events:
        asking = await self._read(call)
        draft = Draft(
            asked=self._begun(asking, f"resp_{call.ctx.request_id.removeprefix('req_')}"),
            request_id=call.ctx.request_id,
            query=_question_of(asking.items) if asking.searches else None,
            with_results=asking.with_results,
        )
        answering = await self._ask(asking, call)
        draft.found(answering.found.hits)
        if asking.request.stream:
            return Events(self._events(draft, answering, asking, call), failed=draft.failed)
        async for _ in running(draft.heard, answering, call.visit, self._metrics):
            pass
        response = draft.whole(answering)
        await self._keep(response, answering, asking, call)
        return Reply(body=encode(draft.shown(response)))

    async def _events(self, draft: Draft, answering: Answering, asking: Asking, call: Call) -> AsyncGenerator[bytes]:
        opening: bytes | None = None
        async with aclosing(running(draft.heard, answering, call.visit, self._metrics)) as deltas:
            async for delta in deltas:
                if opening is None:
                    opening = draft.opening(answering)  # known only now: an engine may fall back on another
                    yield opening + draft.more(delta)
                elif piece := draft.more(delta):
                    yield piece
        response = draft.whole(answering)
        await self._keep(response, answering, asking, call)
        yield draft.closing(response)

    async def _read(self, call: Call) -> Asking:
        asked: ResponseRequest = call.body
        asked_s = time.time()
        refuse_what_we_lack(asked)
        if asked.store and not self._keep_days:
            raise UnsupportedParameter("store", hint="This server keeps no answers: send false.")
        tool, searches = read_tools(asked.tools), wants_search(asked.tool_choice, asked.tools)
        items = read_items(asked.input)
        with_results = wants_results(asked.include)
        before = Turns(responses=(), sources=())
        if asked.previous_response_id is not None:
            before = await self._before(call, asked.previous_response_id)
        stores = await self._where(call, tool) if searches else ()
        return Asking(asked, items, before, tool, stores, searches, with_results, asked_s)

    async def _before(self, call: Call, previous: str) -> Turns:
        try:
            return await self._kept.turns(call.ctx.principal, previous, limit=MAX_TURNS)
        except NotFound as error:
            raise NotFound("response", previous, param="previous_response_id") from error

    async def _where(self, call: Call, tool: FileSearchTool | None) -> tuple[Store, ...]:
        named = tool.vector_store_ids if tool else None
        try:
            return await stores_meant(self._stores, call.ctx.principal, named)
        except InvalidRequest as error:
            error.param = f"tools[0].{error.param or 'vector_store_ids'}"
            raise

    async def _ask(self, asking: Asking, call: Call) -> Answering:
        asked, tool = asking.request, asking.tool
        ranking = tool.ranking_options if tool else None
        said = [turn for response in asking.before.responses for turn in said_in(response)]
        instructions = [Message(role="system", content=asked.instructions)] if asked.instructions else []
        question = Question(
            text=_question_of(asking.items),
            stores=asking.stores,
            limit=(tool and tool.max_num_results) or DEFAULT_PASSAGES,
            min_score=(ranking and ranking.score_threshold) or 0.0,
            filters=read_filters(tool.filters, param="tools[0].filters") if tool else None,
            conversation=(*instructions, *said, *turns_of(asking.items[:-1])),
            sampling=Sampling(temperature=asked.temperature, top_p=asked.top_p, max_tokens=asked.max_output_tokens),
            model=None if asked.model in OUR_CHOICE else asked.model,
        )
        try:
            return await self._questions.ask(question, call.ctx)
        except NotFound as error:
            error.param = error.param or "model"
            raise
        except InvalidRequest as error:
            # Where this caller wrote it.
            error.param = {"query": "input", "max_tokens": "max_output_tokens"}.get(error.param or "", error.param)
            raise

    def _begun(self, asking: Asking, identifier: str) -> Response:
        """The response before anything is known."""
        asked = asking.request
        return Response(
            id=identifier,
            created_at=int(asking.asked_s),
            status="in_progress",
            model=asked.model or "auto",
            output=[],
            tools=_used(asking) if asking.searches else [],
            tool_choice="auto" if asked.tool_choice is None else asked.tool_choice,
            store=asked.store is not False and self._keep_days > 0,
            metadata=asked.metadata or {},
            instructions=asked.instructions,
            max_output_tokens=asked.max_output_tokens,
            max_tool_calls=asked.max_tool_calls,
            previous_response_id=asked.previous_response_id,
            temperature=asked.temperature,
            top_p=asked.top_p,
            parallel_tool_calls=asked.parallel_tool_calls is not False,
            user=UNSET if asked.user is None else asked.user,
        )

    async def _keep(self, response: Response, answering: Answering, asking: Asking, call: Call) -> None:
        if not response.store:
            return
        hits = [(hit.store_id, hit.file_id) for hit in answering.found.hits]
        own = own_words(asking.items)
        await self._kept.keep(
            kept_of(response, asking.items),
            call.ctx.principal,
            sources={*hits, *asking.before.sources},
            cited=set(cited_files(asking.items)),
            own_input=None if own == asking.items else encode(own).decode(),
            asked_s=asking.asked_s,
            expires_s=asking.asked_s + self._keep_days * DAY_S,
        )


def refuse_what_we_lack(asked: ResponseRequest) -> None:
    """Raise UnsupportedParameter for a parameter whose value asks for something that we would not do."""
    for name, neutral in NEUTRAL.items():
        value = getattr(asked, name)
        if value is not None and value not in neutral:
            hint = f"Leave it out, or send {encode(neutral[0]).decode()}." if neutral else "Leave it out."
            raise UnsupportedParameter(name, hint=hint)


def _question_of(items: Sequence[Item]) -> str:
    return turns_of(items)[-1].content


def _used(asking: Asking) -> list[Any]:
    tool = asking.tool
    ranking = tool.ranking_options if tool else None
    return [
        FileSearchUsed(
            vector_store_ids=[store.id for store in asking.stores],
            max_num_results=(tool and tool.max_num_results) or DEFAULT_PASSAGES,
            ranking_options=RankingUsed(score_threshold=(ranking and ranking.score_threshold) or 0.0),
            filters=tool.filters if tool else None,
        )
    ]
