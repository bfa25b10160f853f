"""What fits into an engine's context: passages by relevance, whole or cut by sentence; the conversation."""

from __future__ import annotations

from collections.abc import Sequence

from sentencex import segment

from penstock.core.types import Hit, Message
from penstock.generate.tokens import TokenCount

ABOUT_A_PASSAGE = 24
"""Tokens of the lines around a passage."""


def fitting(hits: Sequence[Hit], budget: int, *, longest: int, tokens: TokenCount) -> list[tuple[int, str]]:
    """Places in `hits` and their text, best first, within `budget` tokens; repeated texts only once.

    A passage over `longest` tokens is cut to its first sentences whatever the question, so that its text is the same in
    every prompt. The first that does not fit is cut to what is left; later ones stay out.
    """
    taken: list[tuple[int, str]] = []
    seen: set[str] = set()
    for place, hit in enumerate(hits):
        key = " ".join(hit.chunk.text.split()).casefold()
        if key in seen:
            continue
        seen.add(key)
        text = shortened(hit.chunk.text, longest, tokens)
        cost = tokens.count(text) + ABOUT_A_PASSAGE
        if cost > budget:
            text = shortened(text, budget - ABOUT_A_PASSAGE, tokens)
            if text:
                taken.append((place, text))
            break
        budget -= cost
        taken.append((place, text))
    return taken


def shortened(text: str, limit: int, tokens: TokenCount) -> str:
    """The first sentences of `text` that fit; empty when not even one does."""
    if tokens.count(text) <= limit:
        return text
    kept, used = [], 0
    for sentence in segment("en", text):
        used += tokens.count(sentence) + 1
        if used > limit:
            break
        kept.append(sentence)
    return "".join(kept).strip()


def condensed(turns: Sequence[Message], budget: int, tokens: TokenCount) -> str:
    """The conversation in `budget` tokens: late turns whole, of earlier questions the first sentence, the rest gone."""
    lines: list[str] = []
    for turn in reversed([turn for turn in turns if turn.role in ("user", "assistant")]):
        line = f"{turn.role}: {turn.content.strip()}"
        if tokens.count(line) > budget and turn.role == "user":
            first = next(iter(segment("en", turn.content.strip())), "").strip()
            line = f"user (earlier): {first}"
        cost = tokens.count(line)
        if cost > budget:
            continue
        budget -= cost
        lines.append(line)
    return "\n".join(reversed(lines))
