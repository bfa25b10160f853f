"""Two scores of each candidate become one in 0..1. Pure: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from penstock.config import SearchSettings

RRF_K = 60

Scores = Mapping[UUID, float]


class Candidate(NamedTuple):
    """A chunk under consideration with both of its scores and the one made of them."""

    id: UUID
    score: float
    dense: float
    lexical: float


def fuse(dense: Scores, lexical: Scores, *, reach: float, settings: SearchSettings, limit: int) -> list[Candidate]:
    """The best `limit` of all chunks in either mapping, best first.

    `reach` is the lexical score of a very good match (words.reach). A chunk that is missing from `lexical`
    shares no word with the question: its score is 0.
    """
    if settings.fusion == "scores":
        scores = _by_scores(dense, lexical, reach, settings.dense_weight)
    else:
        scores = _by_ranks(dense, lexical)
    ranked = [Candidate(each, score, dense.get(each, 0.0), lexical.get(each, 0.0)) for each, score in scores.items()]
    ranked.sort(key=lambda candidate: (-candidate.score, -candidate.dense, candidate.id.int >> 1))
    return ranked[:limit]


def _by_scores(dense: Scores, lexical: Scores, reach: float, weight: float) -> dict[UUID, float]:
    """A convex combination of the cosine and the share of `reach`.

    Both scales are fixed before the search, so a chunk's score says how good it is and not how good the
    others were: it can be held against a threshold, and filters do not change it.
    """
    return {
        each: weight * min(1.0, max(0.0, dense.get(each, 0.0)))
        + (1 - weight) * min(1.0, lexical.get(each, 0.0) / reach)
        for each in dense.keys() | lexical.keys()
    }


def _by_ranks(dense: Scores, lexical: Scores) -> dict[UUID, float]:
    """Reciprocal rank fusion, scaled so that the first of both lists scores 1."""
    scores: dict[UUID, float] = {}
    for side in (dense, lexical):
        for rank, each in enumerate(sorted(side, key=lambda key: (-side[key], key.int)), start=1):
            scores[each] = scores.get(each, 0.0) + (RRF_K + 1) / (RRF_K + rank) / 2
    return scores
