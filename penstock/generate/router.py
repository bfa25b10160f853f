"""Takes a model for each request, by choice.py, and falls back along a chain that ends at the extractive engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

import msgspec

from penstock.core.context import Context
from penstock.core.errors import DeadlineExceeded, NotFound, Overloaded, StageUnavailable
from penstock.core.ports import Generator
from penstock.core.types import Delta, Outlook, Pace, Prompt, Tier, Usage
from penstock.generate.account import Accounted
from penstock.generate.choice import Asked, Candidate, Choice, PassedOver, decide, split
from penstock.generate.complexity import complexity
from penstock.generate.replica import Engine

AUTO = (None, "", "auto")
RESERVE_S = 0.25
"""Kept back from language models, so that the last resort can still answer within the deadline."""
PATIENT_S = 3600.0
STALE_S = 30.0
"""What a model took longer ago says nothing of now."""
USUAL_OUTPUT_TOKENS = 256
CHARS_PER_TOKEN = 4


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that may be chosen. `is_well` says what is known of its health, without asking anyone now."""

    engine: Accounted
    is_well: Callable[[], bool]
    level: float = 0.5
    context_tokens: int = 8_192
    fallback: tuple[str, ...] = ()
    """Who answers, in this order, where it cannot and the policy did not say."""


class Routed(msgspec.Struct, frozen=True):
    """The engine for one request, and why."""

    generator: Generator
    reason: str
    choice: Choice

    @property
    def alternatives(self) -> tuple[PassedOver, ...]:
        """Models that did not answer, and why; once the answer has begun, those that failed, too."""
        failed = self.generator.skipped if isinstance(self.generator, Fallback) else ()
        return (*self.choice.alternatives, *failed)


class Router:
    """`splits` gives names under which several models share the requests by weight, as a canary does."""

    def __init__(
        self,
        *,
        models: Sequence[Model],
        last_resort: Generator,
        splits: Mapping[str, Sequence[tuple[str, float]]] | None = None,
    ) -> None:
        self._last = last_resort
        self.replace(models, splits or {})

    def replace(self, models: Sequence[Model], splits: Mapping[str, Sequence[tuple[str, float]]]) -> None:
        """Choose among these from now on; what was chosen before runs on."""
        self._models = {model.engine.model: model for model in models}
        self._splits = dict(splits)

    def models(self) -> Sequence[str]:
        """Names that `choose` takes."""
        return (*self._models, *self._splits, self._last.model)

    def choose(self, model: str | None, prompt: Prompt, ctx: Context, tier: Tier = "asked") -> Routed:
        """The engine for the model asked for; None or `auto` leaves it to the policy. Raises NotFound.

        Under a `tier` other than "asked" the policy takes less than it would.
        """
        if model == self._last.model:
            return Routed(self._last, "asked for", Choice(model, "asked for"))
        if tier == "extractive" and model in AUTO:
            return Routed(self._last, "no language model now", Choice(self._last.model, "no language model now"))
        choice = self._policy(prompt, ctx, tier) if model in AUTO else self._named(model or "", ctx)
        if choice.model not in self._models:
            if not choice.alternatives:
                return Routed(self._last, choice.reason, choice)
            labelled = Fallback(engines=(), last_resort=self._last, unable=choice.alternatives)
            return Routed(labelled, choice.reason, choice)
        # The other able ones come next; the order of the alternatives is the order of the settings.
        names = [choice.model, *(one.model for one in choice.alternatives if one.able)]
        names += self._models[choice.model].fallback
        chain = [self._models[name].engine for name in dict.fromkeys(names)]
        return Routed(Fallback(engines=chain, last_resort=self._last), choice.reason, choice)

    def _named(self, model: str, ctx: Context) -> Choice:
        versions = self._splits.get(model)
        if versions:
            taken = split(versions, ctx.request_id)
            others = tuple(
                PassedOver(name, "the split's other side", able=True) for name, _ in versions if name != taken
            )
            return Choice(taken, f"by the split of '{model}'", others)
        if model not in self._models:
            raise NotFound("model", model, param="model")
        return Choice(model, "asked for")

    def outlook(self, model: str | None, prompt: Prompt, ctx: Context) -> Outlook:
        """Who would answer if time were no matter, and how fast; the same for the cheapest."""
        if model not in AUTO:
            named = self._models.get(model or "")
            return Outlook(asked=_pace(named), is_language_model=named is not None)
        patient = ctx.clock.now_s() + PATIENT_S
        unhurried = msgspec.structs.replace(ctx, deadline_s=patient)
        asked = self._models.get(self._policy(prompt, unhurried, "asked").model)
        smaller = self._models.get(self._policy(prompt, unhurried, "smaller").model)
        return Outlook(
            asked=_pace(asked),
            smaller=None if smaller is asked else _pace(smaller),
            is_language_model=asked is not None,
            may_replace=True,
        )

    def _policy(self, prompt: Prompt, ctx: Context, tier: Tier) -> Choice:
        chars = len(prompt.question) + sum(len(hit.chunk.text) for hit in prompt.passages)
        chars += sum(len(turn.content) for turn in prompt.messages)
        asked = Asked(
            complexity=0.0 if tier == "smaller" else complexity(prompt),
            prompt_tokens=chars // CHARS_PER_TOKEN,
            output_tokens=prompt.sampling.max_tokens or USUAL_OUTPUT_TOKENS,
            priority=ctx.priority,
            remaining_s=ctx.remaining_s() - RESERVE_S,
        )
        return decide([_candidate(one, asked) for one in self._models.values()], asked, last_resort=self._last.model)


class Fallback:
    """One request's way along a chain of engines: the next one only before the first delta. `model` says who answers.

    The last resort gets what is left of the time; the others have to begin before the reserve is touched. An answer
    that is not by the first choice says so in `degraded`; `unable` are models that were no choice at all.
    """

    def __init__(self, *, engines: Sequence[Engine], last_resort: Generator, unable: Sequence[PassedOver] = ()) -> None:
        self._engines, self._last, self._unable = engines, last_resort, unable
        self.model = engines[0].model if engines else last_resort.model
        self.skipped: list[PassedOver] = []

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        ctx.check("generate")
        for engine in self._engines:
            if ctx.remaining_s() <= RESERVE_S:
                self.skipped.append(PassedOver(engine.model, "no time is left for it"))
                continue
            self.model = engine.model
            has_begun = False
            try:
                async with aclosing(engine.generate(prompt, ctx.within(ctx.remaining_s() - RESERVE_S))) as deltas:
                    async for delta in deltas:
                        has_begun = True
                        yield self._labelled(delta) if self.skipped else delta
                return
            except (StageUnavailable, Overloaded, DeadlineExceeded) as error:
                if has_begun:
                    raise
                self.skipped.append(PassedOver(engine.model, error.code))
        self.model = self._last.model
        async for delta in self._last.generate(prompt, ctx):
            yield self._labelled(delta)

    def _labelled(self, delta: Delta) -> Delta:
        if delta.finish is None:
            return delta
        failed = tuple(f"{one.model} did not answer: {one.why}" for one in (*self._unable, *self.skipped))
        return msgspec.structs.replace(delta, degraded=(*delta.degraded, *failed))


def _pace(model: Model | None) -> Pace | None:
    """None for a model of which nothing has been heard lately."""
    if model is None or not _is_known(model.engine):
        return None
    return Pace(first_token_s=model.engine.first_token.quantile(0.95), token_s=model.engine.token.quantile(0.5))


def _is_known(engine: Accounted) -> bool:
    # A model that was too slow for everybody, and so was not asked any more, would never be seen to be quick again.
    return engine.token.idle_s < STALE_S and engine.first_token.idle_s < STALE_S


def _candidate(model: Model, asked: Asked) -> Candidate:
    engine = model.engine
    usage = Usage(prompt=asked.prompt_tokens, output=asked.output_tokens)
    known = _is_known(engine)
    token_s = engine.token.quantile(0.5) if known else 0.0
    return Candidate(
        model=engine.model,
        level=model.level,
        price=engine.price.of(usage),
        context_tokens=model.context_tokens,
        healthy=model.is_well(),
        first_token_s=engine.first_token.quantile(0.95) if known else 0.0,
        tokens_per_s=1.0 / token_s if token_s > 0 else float("inf"),
    )
