"""A question to try first, made from the documents themselves: one that they do answer."""

from __future__ import annotations

from penstock.core.context import Context
from penstock.core.types import Hit, Store
from penstock.pipeline.question import Question, QuestionPipeline

OPENING = "introduction overview how to use what is"
"""Finds passages that a newcomer would begin with."""
CANDIDATES = 8
MAX_SUBJECT_CHARS = 80


async def suggest(questions: QuestionPipeline, stores: tuple[Store, ...], ctx: Context) -> str | None:
    """The best answered of a few questions about titles and headings; None where there are none."""
    found, _ = await questions.search(Question(text=OPENING, stores=stores, limit=CANDIDATES), ctx)
    best: tuple[float, str] | None = None
    for subject in dict.fromkeys(subject for hit in found.hits if (subject := _subject(hit))):
        text = subject if subject.endswith("?") else f"Tell me about {subject}."
        answering = await questions.ask(Question(text=text, stores=stores), ctx)
        async for _ in answering:
            pass
        confidence = 0.0 if answering.abstained else answering.confidence or 0.0
        if best is None or confidence > best[0]:
            best = (confidence, text)
    return best[1] if best else None


def _subject(hit: Hit) -> str:
    """The narrowest name that the passage stands under."""
    name = hit.chunk.headings[-1] if hit.chunk.headings else hit.title
    return name.strip() if len(name) <= MAX_SUBJECT_CHARS else ""
