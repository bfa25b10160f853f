"""`search` and `ask`, for language models: the same pipeline, doors and deadlines as over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import quote

from penstock.core.types import Citation, Hit
from penstock.flow.admission import Admission
from penstock.gateway.directory import StoreCatalog, stores_meant
from penstock.gateway.doors import Doors
from penstock.gateway.filters import read_filters
from penstock.gateway.mcp.shapes import (
    AskInput,
    AskOutput,
    CitedSentence,
    FoundPassage,
    SearchInput,
    SearchOutput,
)
from penstock.gateway.operation import Call
from penstock.gateway.running import Heard, running
from penstock.gateway.visit import Visit
from penstock.pipeline.question import Answering, Question, QuestionPipeline
from penstock.telemetry.metrics import Metrics

CALL = "penstock.call"
"""Where a request's scope carries our Call through the protocol's SDK."""
OUR_CHOICE = frozenset({"auto", "default", ""})


class Tools:
    """Errors are PenstockErrors, for whoever wraps them for the protocol."""

    def __init__(self, *, questions: QuestionPipeline, stores: StoreCatalog, doors: Doors, metrics: Metrics) -> None:
        self._questions = questions
        self._stores = stores
        self._doors = doors
        self._metrics = metrics

    async def search(self, asked: SearchInput, call: Call) -> SearchOutput:
        ctx = call.ctx
        async with _through(self._doors.search, call):
            stores = await stores_meant(self._stores, ctx.principal, asked.vector_store_ids)
            question = Question(
                text=asked.query, stores=stores, limit=asked.max_num_results, filters=read_filters(asked.filters)
            )
            found, _ = await self._questions.search(question, ctx)
        return SearchOutput(
            results=[_passage(number, hit) for number, hit in enumerate(found.hits, start=1)],
            degraded=[*found.missing, *found.degraded],
        )

    async def ask(self, asked: AskInput, call: Call) -> AskOutput:
        ctx = call.ctx
        async with _through(self._doors.answer, call):
            stores = await stores_meant(self._stores, ctx.principal, asked.vector_store_ids)
            question = Question(
                text=asked.question,
                stores=stores,
                limit=asked.max_num_results,
                filters=read_filters(asked.filters),
                model=None if asked.model in OUR_CHOICE else asked.model,
            )
            return await self._whole(await self._questions.ask(question, ctx), call.visit)

    async def _whole(self, answering: Answering, visit: Visit) -> AskOutput:
        heard = Heard()
        async for _ in running(heard, answering, visit, self._metrics):
            pass
        found = answering.found
        return AskOutput(
            answer=heard.text,
            abstained=answering.abstained,
            confidence=answering.confidence,
            citations=[_cited(citation, found.hits) for citation in heard.citations],
            model=answering.model,
            degraded=[*found.missing, *found.degraded, *answering.degraded],
        )


def uri_of(hit: Hit) -> str:
    """The address of a passage, the same as in the citations of chat answers; a resource of this server."""
    return f"penstock:{hit.store_id}/{quote(hit.file_id)}#{quote(hit.chunk.id)}"


def search_text(output: SearchOutput) -> str:
    """The passages for a model that reads text."""
    if not output.results:
        return "Nothing was found."
    return "\n\n".join(f"[{one.number}] {one.title or one.filename} ({one.uri})\n{one.text}" for one in output.results)


def ask_text(output: AskOutput) -> str:
    """The answer and what it rests on."""
    sources = dict.fromkeys(f"[{one.number}] {one.title or one.filename} ({one.uri})" for one in output.citations)
    return "\n\n".join(part for part in (output.answer, "\n".join(sources)) if part)


@contextlib.asynccontextmanager
async def _through(door: Admission | None, call: Call) -> AsyncIterator[None]:
    if door is None:
        yield
    else:
        async with door.admit(call.ctx) as call.visit.permit:
            yield


def _passage(number: int, hit: Hit) -> FoundPassage:
    return FoundPassage(
        number=number,
        uri=uri_of(hit),
        file_id=hit.file_id,
        filename=hit.filename,
        title=hit.title,
        headings=list(hit.chunk.headings),
        page=hit.chunk.page,
        score=hit.score,
        text=hit.chunk.text,
    )


def _cited(citation: Citation, hits: tuple[Hit, ...]) -> CitedSentence:
    hit = hits[citation.number - 1]
    return CitedSentence(
        number=citation.number,
        uri=uri_of(hit),
        file_id=hit.file_id,
        filename=hit.filename,
        title=hit.title,
        page=hit.chunk.page,
        quote=citation.quote,
    )
