"""What a reranker reads of a hit, and how scores become an order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.core.types import Hit

STAGE = "rerank"


def passage_of(hit: Hit) -> str:
    """The chunk's text under its document's title and the headings above it."""
    above = [hit.title, *(heading for heading in hit.chunk.headings if heading != hit.title)]
    return "\n".join([*(part for part in above if part), hit.chunk.text])


def ordered(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    """`hits` with these scores, best first; equal ones keep their order."""
    scored = [msgspec.structs.replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=lambda hit: -hit.score)
