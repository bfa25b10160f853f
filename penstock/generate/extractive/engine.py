"""penstock-extractive: answers without a language model, in sentences quoted from the passages.

It is honest about what it is: every sentence is the documents' own, with its citation, and where the passages do not
carry the question it says so. It cannot combine facts, calculate, translate or follow a conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from penstock.core.context import Context
from penstock.core.types import Delta, Prompt, Usage
from penstock.generate.extractive.compose import choose, spoken
from penstock.generate.extractive.evidence import weigh
from penstock.generate.extractive.scoring import ask, rank, read

MODEL = "penstock-extractive"

NOTHING_FOUND = "I found nothing in the documents that answers this."

MAX_PASSAGES = 20
"""Passages that are read; the search's best come first."""


class ExtractiveGenerator:
    """A Generator of few milliseconds of Python, which is less than a thread would cost the event loop.

    Between two passages the loop has its turn, so that it never waits for more than one of them. Needs no start or
    stop and keeps nothing between questions.
    """

    def __init__(self, *, max_sentences: int = 3, abstain_below: float = 0.5, cosines: bool = True) -> None:
        """`cosines`: whether hits' cosines are those of the encoder that the evidence was fitted with."""
        self._max_sentences = max_sentences
        self._cosines = cosines
        self._abstain_below = abstain_below

    @property
    def model(self) -> str:
        return MODEL

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        """Sentence by sentence, each with its citation. Raises DeadlineExceeded before the first one.

        Usage counts words, since there are no tokens here.
        """
        ctx.check("generate")
        asked = ask(prompt.question)
        reads = []
        for hit in prompt.passages[:MAX_PASSAGES]:
            ctx.check("generate")
            reads.append(read(hit))
            await asyncio.sleep(0)
        ranked = rank(asked, reads)
        confidence = weigh(asked, reads, ranked, cosines=self._cosines).confidence
        chosen = choose(reads, ranked, self._max_sentences)
        abstained = not chosen or confidence < self._abstain_below
        words = 0
        for delta in [Delta(text=NOTHING_FOUND)] if abstained else spoken(reads, chosen):
            words += len(delta.text.split())
            yield delta
        usage = Usage(prompt=sum(len(each) for one in reads for each in one.words), output=words)
        yield Delta(finish="stop", usage=usage, abstained=abstained, confidence=confidence)
