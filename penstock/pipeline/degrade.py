"""What a question gives up when its time is short or the server is under pressure. Decided from values alone.

The steps, in their order: no better order (rerank), fewer passages, a shorter answer, the cheapest model, quoted
sentences in the place of a language model. Pressure takes every step whose threshold it has reached. Short time
takes steps one by one, until what remains of the question should fit into what remains of its time.

A caller who names a model keeps it: only `auto` is led to another one.
"""

from __future__ import annotations

from typing import Literal

from penstock.config import DegradeSettings
from penstock.core.types import Outlook, Pace, Tier, Value

Step = Literal["rerank", "passages", "length", "model", "extractive"]
Cause = Literal["time", "pressure", "failure"]

RESERVE_S = 0.25
"""Kept back, so that quoted sentences can still answer when a model does not."""
USUAL_OUTPUT_TOKENS = 256


class Taken(Value, frozen=True):
    """A step that was taken, and why, for the answer and for the metrics."""

    step: Step
    cause: Cause
    said: str


class Situation(Value, frozen=True):
    """All that a decision rests on. Durations are measured; None where nothing has been measured lately."""

    remaining_s: float
    pressure: float = 0.0
    rerank_s: float | None = None
    """95 of 100 rerankings took no longer."""
    after_s: float = 0.0
    """What has to follow: the time to an answer's first word; nothing for a search."""
    outlook: Outlook = Outlook()
    passages: int = 0
    output_tokens: int | None = None
    """What the caller asked for at the most."""


class Course(Value, frozen=True):
    """How the question goes on. None: as asked."""

    passages: int | None = None
    output_tokens: int | None = None
    tier: Tier = "asked"
    taken: tuple[Taken, ...] = ()


def reranking(now: Situation, settings: DegradeSettings) -> Taken | None:
    """The step of leaving the reranking out; None: do it."""
    if now.pressure >= settings.rerank_pressure:
        return Taken(step="rerank", cause="pressure", said=f"rerank: left out, {_busy(now)}")
    if now.rerank_s is not None and now.rerank_s + now.after_s > now.remaining_s:
        return Taken(
            step="rerank",
            cause="time",
            said=f"rerank: left out, it takes {now.rerank_s:.2f} s and {_short(now)}",
        )
    return None


def answering(now: Situation, settings: DegradeSettings) -> Course:
    """What the answer is made of, and by whom."""
    taken: list[Taken] = []
    pace = now.outlook.asked
    passages, tokens = now.passages, now.output_tokens
    tier: Tier = "asked"

    def late() -> bool:
        wanted = USUAL_OUTPUT_TOKENS if tokens is None else tokens
        return pace is not None and _takes_s(pace, wanted, passages / max(now.passages, 1)) > _usable_s(now)

    def take(step: Step, threshold: float, said: str) -> bool:
        busy = now.pressure >= threshold
        if not busy and not late():
            return False
        cause: Cause = "pressure" if busy else "time"
        taken.append(Taken(step=step, cause=cause, said=f"{step}: {said}, {_busy(now) if busy else _short(now)}"))
        return True

    if passages > settings.passages and take(
        "passages", settings.passages_pressure, f"{settings.passages} of {passages}"
    ):
        passages = settings.passages
    if now.outlook.is_language_model:
        most = settings.answer_tokens
        if (tokens is None or tokens > most) and take("length", settings.length_pressure, f"at most {most} tokens"):
            tokens = most
        if now.outlook.smaller is not None and take("model", settings.model_pressure, "the cheapest"):
            tier, pace = "smaller", now.outlook.smaller
        if now.outlook.may_replace and take("extractive", settings.extractive_pressure, "quoted sentences"):
            tier = "extractive"
    return Course(
        passages=passages if passages < now.passages else None,
        output_tokens=tokens if tokens != now.output_tokens else None,
        tier=tier,
        taken=tuple(taken),
    )


def _takes_s(pace: Pace, tokens: int, share: float) -> float:
    """Reading the prompt goes with its length, about; writing goes with the answer's."""
    return pace.first_token_s * share + tokens * pace.token_s


def _usable_s(now: Situation) -> float:
    return now.remaining_s - RESERVE_S


def _busy(now: Situation) -> str:
    return f"the server is busy ({now.pressure:.2f} of its places)"


def _short(now: Situation) -> str:
    return f"{now.remaining_s:.2f} s are left"
