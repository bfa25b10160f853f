"""A question's way: embed, search, pack, generate; each timed, all under the request's one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

import msgspec

from penstock.core.context import Context
from penstock.core.errors import InvalidRequest, StageUnavailable
from penstock.core.ports import Embedder, Generator
from penstock.core.types import (
    Comparison,
    Compound,
    Delta,
    Found,
    Hit,
    Message,
    Principal,
    Prompt,
    Query,
    Sampling,
    Store,
)
from penstock.pipeline.directory import IndexDirectory
from penstock.telemetry.metrics import Metrics
from penstock.telemetry.timings import Timings


class PassedOver(Protocol):
    """An engine that did not answer, and why."""

    @property
    def model(self) -> str: ...

    @property
    def why(self) -> str: ...


class Chosen(Protocol):
    """The engine that will answer, and why it was taken."""

    @property
    def alternatives(self) -> Sequence[PassedOver]: ...

    @property
    def generator(self) -> Generator: ...

    @property
    def reason(self) -> str: ...


class Router(Protocol):
    """Decides which engine answers."""

    def choose(self, model: str | None, prompt: Prompt, ctx: Context) -> Chosen:
        """The engine for the model asked for; None leaves the choice to us. Raises NotFound for an unknown model."""
        ...

    def models(self) -> Sequence[str]:
        """Names that `choose` takes."""
        ...


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks of which stores."""

    text: str
    stores: tuple[Store, ...]
    limit: int = 8
    filters: Comparison | Compound | None = None
    conversation: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()
    model: str | None = None


class Answering:
    """An answer on its way: iterate for its deltas, then read what became of it.

    `aclose` (or leaving the iteration) stops the engine at once.
    """

    def __init__(self, *, found: Found, chosen: Chosen, prompt: Prompt, timings: Timings, ctx: Context) -> None:
        self.found = found
        self._generator = chosen.generator
        self._chosen = chosen
        self.reason = chosen.reason
        self.timings = timings
        self.abstained = False
        self.confidence: float | None = None
        self.degraded: tuple[str, ...] = ()
        """What was left out of the best possible answer, and why."""
        self._deltas = self._run(chosen.generator, prompt, ctx)

    @property
    def model(self) -> str:
        """Who answers. An engine that falls back on another says so from its first delta on."""
        return self._generator.model

    @property
    def alternatives(self) -> Sequence[PassedOver]:
        """Engines that did not answer, and why."""
        return self._chosen.alternatives

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    async def aclose(self) -> None:
        """Stop; the engine's slot is free when this returns."""
        await self._deltas.aclose()

    async def _run(self, generator: Generator, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        with self.timings.stage("generate"):
            async for delta in generator.generate(prompt, ctx):
                self.abstained = self.abstained or delta.abstained
                self.degraded += delta.degraded
                if delta.confidence is not None:
                    self.confidence = delta.confidence
                yield delta


class QuestionPipeline:
    """Searches and answers. Holds no state of a request."""

    def __init__(
        self,
        *,
        embedder: Embedder,
        indexes: IndexDirectory,
        router: Router,
        metrics: Metrics,
        max_question_chars: int,
    ) -> None:
        self._embedder = embedder
        self._indexes = indexes
        self._metrics = metrics
        self._max_question_chars = max_question_chars
        self.router = router

    async def search(self, question: Question, ctx: Context) -> tuple[Found, Timings]:
        """The best hits of all the question's stores, best first. Raises InvalidRequest, DeadlineExceeded."""
        timings = Timings(metrics=self._metrics)
        self._check(question)
        if not question.stores:
            return Found(hits=()), timings
        with timings.stage("embed"):
            ctx.check("embed")
            vector = (await self._embedder.embed([question.text], ctx, kind="query"))[0]
        with timings.stage("search"):
            ctx.check("search")
            query = Query(
                text=question.text, limit=question.limit, filters=question.filters, groups=groups_of(ctx.principal)
            )
            indexes = [await self._indexes.of(store) for store in question.stores]
            if len(indexes) == 1:
                return await indexes[0].search(query, vector, ctx), timings
            parts = await asyncio.gather(*(index.search(query, vector, ctx) for index in indexes))
        return merged(parts, question.limit), timings

    async def ask(self, question: Question, ctx: Context) -> Answering:
        """Search, then begin to answer. Errors up to the first word are raised here."""
        found, timings = await self.search(question, ctx)
        prompt = Prompt(
            question=question.text,
            passages=found.hits,
            messages=question.conversation,
            sampling=question.sampling,
        )
        chosen = self.router.choose(question.model, prompt, ctx)
        ctx.check("generate")
        return Answering(found=found, chosen=chosen, prompt=prompt, timings=timings, ctx=ctx)

    def _check(self, question: Question) -> None:
        if not question.text.strip():
            raise InvalidRequest("The question is empty. Send some text.", param="query", code="empty_question")
        if len(question.text) > self._max_question_chars:
            raise InvalidRequest(
                f"The question has {len(question.text)} characters; the limit is {self._max_question_chars}.",
                param="query",
                code="question_too_long",
            )
        for store in question.stores:
            if store.embedder != self._embedder.model:
                raise StageUnavailable(
                    "search",
                    f"store '{store.name}' holds vectors of {store.embedder}, and the encoder is "
                    f"{self._embedder.model}. Set embed.model back, or ingest into a new store.",
                )


def groups_of(principal: Principal) -> tuple[str, ...] | None:
    """Whose documents the caller may find, beside those for everybody; None: all, as no keys are in use."""
    return principal.groups if principal.key_id else None


def merged(parts: Sequence[Found], limit: int) -> Found:
    """Several stores' hits as one list, by score; ties by file and position, so that the order never flickers."""
    hits: list[Hit] = [hit for part in parts for hit in part.hits]
    hits.sort(key=lambda hit: (-hit.score, hit.store_id, hit.file_id, hit.chunk.position))
    return Found(
        hits=tuple(hits[:limit]),
        coverage=min((part.coverage for part in parts), default=1.0),
        missing=tuple(name for part in parts for name in part.missing),
    )
