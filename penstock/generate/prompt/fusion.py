"""Which passages go in and what is said of them beforehand: strategies by name.

concatenate  all, as the search ranks them
select       reranks by words shared with the question beside the search's score, and keeps the better half
weighted     all, with a lead behind them: the best sentence of each, the weightiest first
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
from sentencex import segment

from penstock.core.types import Hit

LEAST_SELECTED = 3
MOST_IN_LEAD = 3


class Fused(msgspec.Struct, frozen=True):
    """Passages, best first, and a lead that goes behind them (before them it would break their prefix)."""

    hits: Sequence[Hit]
    lead: str = ""


def concatenate(question: str, hits: Sequence[Hit]) -> Fused:  # noqa: ARG001 - a strategy's signature
    return Fused(hits)


def select(question: str, hits: Sequence[Hit]) -> Fused:
    asked = words_of(question)
    ranked = sorted(hits, key=lambda hit: -(hit.score + shared(asked, hit.chunk.text)))
    return Fused(ranked[: max(LEAST_SELECTED, (len(hits) + 1) // 2)])


def weighted(question: str, hits: Sequence[Hit]) -> Fused:
    asked = words_of(question)
    best = [
        (hit.score * shared(asked, sentence), sentence)
        for hit in hits
        if (sentence := max(segment("en", hit.chunk.text), key=lambda text: shared(asked, text), default="").strip())
    ]
    best.sort(key=lambda pair: -pair[0])
    lines = "\n".join(f"- {sentence}" for weight, sentence in best[:MOST_IN_LEAD] if weight > 0)
    return Fused(hits, f"In short, quoted from the passages:\n{lines}" if lines else "")


STRATEGIES: dict[str, Callable[[str, Sequence[Hit]], Fused]] = {
    "concatenate": concatenate,
    "select": select,
    "weighted": weighted,
}


def words_of(text: str) -> set[str]:
    """Words of four letters and more, and numbers."""
    return {word for word in re.findall(r"\w+", text.casefold()) if len(word) > 3 or word.isdigit()}


def shared(asked: set[str], text: str) -> float:
    """The share of the asked words that `text` has."""
    return len(asked & words_of(text)) / len(asked) if asked else 0.0
