"""A question's way: embed, search, pack, generate; each timed, all under the request's one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

import msgspec

from penstock.config import DegradeSettings
from penstock.core.context import Context
from penstock.core.errors import InvalidRequest
from penstock.core.ports import Generator
from penstock.core.types import (
    Comparison,
    Compound,
    Delta,
    Found,
    Hit,
    Message,
    Outlook,
    Principal,
    Prompt,
    Query,
    Sampling,
    Store,
    Tier,
    Vector,
)
from penstock.embed.encoders import Encoders
from penstock.pipeline.degrade import Course
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.economy import Economy, Measured
from penstock.pipeline.reorder import Reorder
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

    def choose(self, model: str | None, prompt: Prompt, ctx: Context, tier: Tier = "asked") -> Chosen:
        """The engine for the model asked for; None leaves the choice to us. Raises NotFound for an unknown model."""
        ...

    def outlook(self, model: str | None, prompt: Prompt, ctx: Context) -> Outlook:
        """Who would answer, and how fast; a model that `choose` would refuse has none. Never raises."""
        ...

    def models(self) -> Sequence[str]:
        """Names that `choose` takes."""
        ...


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks of which stores."""

    text: str
    stores: tuple[Store, ...]
    limit: int = 8
    min_score: float = 0.0
    filters: Comparison | Compound | None = None
    conversation: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()
    model: str | None = None
    rerank: bool = True
    """Whether a reranker, where there is one, may put what was found in a better order."""


class Answering:
    """An answer on its way: iterate for its deltas, then read what became of it.

    `aclose` (or leaving the iteration) stops the engine at once.
    """

    def __init__(
        self,
        *,
        found: Found,
        chosen: Chosen,
        prompt: Prompt,
        timings: Timings,
        ctx: Context,
        degraded: tuple[str, ...] = (),
        first_word: Measured | None = None,
    ) -> None:
        self.found = found
        self._first_word = first_word
        self._generator = chosen.generator
        self._chosen = chosen
        self.reason = chosen.reason
        self.timings = timings
        self.abstained = False
        self.confidence: float | None = None
        self.degraded: tuple[str, ...] = degraded
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
        began_s: float | None = ctx.clock.now_s()
        with self.timings.stage("generate"):
            async for delta in generator.generate(prompt, ctx):
                if began_s is not None and self._first_word is not None:
                    self._first_word.observe(ctx.clock.now_s() - began_s)
                began_s = None
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
        encoders: Encoders,
        indexes: IndexDirectory,
        router: Router,
        metrics: Metrics,
        max_question_chars: int,
        economy: Economy | None = None,
        reorder: Reorder | None = None,
    ) -> None:
        """Without a `reorder` there is no rerank stage; without an `economy` nothing is given up under pressure."""
        self._encoders = encoders
        self._indexes = indexes
        self._metrics = metrics
        self._max_question_chars = max_question_chars
        self._economy = economy or Economy(settings=DegradeSettings(enabled=False), metrics=metrics)
        self._reorder = reorder
        self.router = router

    async def search(self, question: Question, ctx: Context, *, answers: bool = False) -> tuple[Found, Timings]:
        """The best hits of all the question's stores, best first. Raises InvalidRequest, DeadlineExceeded.

        `answers`: an answer follows and needs some of the time.
        """
        timings = Timings(metrics=self._metrics)
        self._check(question)
        reorder = self._reorder if question.rerank and question.stores else None
        if reorder is None:
            return above(await self._found(question, question.limit, ctx, timings), question.min_score), timings
        found = await self._found(question, max(question.limit, reorder.candidates), ctx, timings)
        found = await reorder.apply(question.text, found, ctx, timings, answers=answers)
        found = msgspec.structs.replace(found, hits=found.hits[: question.limit])
        return above(found, question.min_score), timings

    async def _found(self, question: Question, limit: int, ctx: Context, timings: Timings) -> Found:
        """The best `limit` hits in the order of the indexes."""
        if not question.stores:
            return Found(hits=())
        with timings.stage("embed"):
            ctx.check("embed")
            vectors = await self._vectors(question, ctx)
        with timings.stage("search"):
            ctx.check("search")
            query = Query(text=question.text, limit=limit, filters=question.filters, groups=groups_of(ctx.principal))
            if len(question.stores) == 1:
                index = await self._indexes.of(question.stores[0])
                return await index.search(query, vectors[question.stores[0].embedder], ctx)
            indexes = [(await self._indexes.of(store), vectors[store.embedder]) for store in question.stores]
            parts = await asyncio.gather(*(index.search(query, vector, ctx) for index, vector in indexes))
        return merged(parts, limit)

    async def _vectors(self, question: Question, ctx: Context) -> dict[str, Vector]:
        """The question's vector by each encoder that its stores have: one, but for a while in which stores move."""
        models = dict.fromkeys(store.embedder for store in question.stores)
        encoded = [self._encoders.named(model).embed([question.text], ctx, kind="query") for model in models]
        rows = [await encoded[0]] if len(encoded) == 1 else await asyncio.gather(*encoded)
        return {model: vectors[0] for model, vectors in zip(models, rows, strict=True)}

    async def ask(self, question: Question, ctx: Context) -> Answering:
        """Search, then begin to answer. Errors up to the first word are raised here."""
        found, timings = await self.search(question, ctx, answers=True)
        prompt = Prompt(
            question=question.text,
            passages=found.hits,
            messages=question.conversation,
            sampling=question.sampling,
            grounded=bool(question.stores),
        )
        course = self._economy.answering(
            ctx,
            outlook=self.router.outlook(question.model, prompt, ctx),
            passages=len(found.hits),
            output_tokens=question.sampling.max_tokens,
        )
        found, prompt = along(course, found, prompt)
        chosen = self.router.choose(question.model, prompt, ctx, course.tier)
        ctx.check("generate")
        return Answering(
            found=found,
            chosen=chosen,
            prompt=prompt,
            timings=timings,
            ctx=ctx,
            degraded=tuple(taken.said for taken in course.taken),
            first_word=self._economy.first_word,
        )

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
            self._encoders.of(store)


def groups_of(principal: Principal) -> tuple[str, ...] | None:
    """Whose documents the caller may find, beside those for everybody; None: all, as no keys are in use."""
    return principal.groups if principal.key_id else None


def along(course: Course, found: Found, prompt: Prompt) -> tuple[Found, Prompt]:
    """What was found and what is asked of the engine, as the course has it."""
    if course.passages is not None:
        found = msgspec.structs.replace(found, hits=found.hits[: course.passages])
    sampling = prompt.sampling
    if course.output_tokens is not None:
        sampling = msgspec.structs.replace(sampling, max_tokens=course.output_tokens)
    return found, msgspec.structs.replace(prompt, passages=found.hits, sampling=sampling)


def above(found: Found, min_score: float) -> Found:
    """Only the hits of at least this score."""
    if min_score <= 0.0:
        return found
    return msgspec.structs.replace(found, hits=tuple(hit for hit in found.hits if hit.score >= min_score))


def merged(parts: Sequence[Found], limit: int) -> Found:
    """Several stores' hits as one list, by score; ties by file and position, so that the order never flickers."""
    hits: list[Hit] = [hit for part in parts for hit in part.hits]
    hits.sort(key=lambda hit: (-hit.score, hit.store_id, hit.file_id, hit.chunk.position))
    return Found(
        hits=tuple(hits[:limit]),
        coverage=min((part.coverage for part in parts), default=1.0),
        missing=tuple(name for part in parts for name in part.missing),
        degraded=tuple(said for part in parts for said in part.degraded),
    )
