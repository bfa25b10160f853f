"""Whether the passages answer the question: a calibrated probability, from a few signs that need no corpus.

A logistic regression fitted on squad-train by `benchmarks/answer_quality.py fit`, on questions whose passages were
in the corpus and on questions whose passages were taken out of it. No sign depends on the corpus's size or on the
absolute scale of BM25. `judge` is a pure function: other engines' answers are judged by it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from penstock.core.types import Hit
from penstock.generate.extractive.scoring import Asked, Ranked, Read, ask, rank, read

SIGNS = ("dense", "passage", "sentence", "pairs", "score")

WITH_COSINE = {"dense": 11.71, "passage": 1.4, "sentence": 1.94, "pairs": 1.66, "score": 3.78}
WITH_COSINE_INTERCEPT = -9.03

WORDS_ONLY = {"dense": 0.0, "passage": 3.58, "sentence": 2.89, "pairs": 2.42, "score": 3.1}
WORDS_ONLY_INTERCEPT = -4.67
"""For hits without cosines, and for encoders whose cosines lie on another scale than all-MiniLM-L6-v2's."""


class Evidence(msgspec.Struct, frozen=True):
    """How well hits carry a question. `confidence` is the probability that they answer it, 0 to 1."""

    confidence: float
    signs: dict[str, float]


def judge(question: str, hits: Sequence[Hit], *, cosines: bool = True) -> Evidence:
    """The evidence in `hits` for `question`. No hits: no confidence. Costs two to three milliseconds for eight hits.

    `cosines` is False for an encoder other than the one that the constants were fitted with.
    """
    asked = ask(question)
    reads = [read(hit) for hit in hits]
    return weigh(asked, reads, rank(asked, reads), cosines=cosines)


def weigh(asked: Asked, reads: Sequence[Read], ranked: Sequence[Ranked], *, cosines: bool = True) -> Evidence:
    """Like `judge`, for hits that are already read and ranked."""
    if not ranked:
        return Evidence(0.0, {})
    signs = signs_of(asked, reads, ranked[0])
    known = cosines and any(one.hit.dense is not None for one in reads)
    weights, intercept = (WITH_COSINE, WITH_COSINE_INTERCEPT) if known else (WORDS_ONLY, WORDS_ONLY_INTERCEPT)
    return Evidence(1.0 / (1.0 + math.exp(-intercept - sum(weights[name] * signs[name] for name in SIGNS))), signs)


def signs_of(asked: Asked, reads: Sequence[Read], best: Ranked) -> dict[str, float]:
    """The signs by name, each between 0 and about 1; more is better evidence.

    dense: the best cosine. passage: share of the question's words, by rarity, in the passage that has most of them.
    sentence: the same for the best sentence with its title. pairs: share of the question's pairs of neighbouring
    words that the sentence has. score: the sentence's score, which also knows its neighbours and the kind asked for.
    """
    weights = asked.weights
    total = sum(weights.values()) or 1.0
    mine = reads[best.hit]
    words = mine.words[best.piece]
    held = mine.sets[best.piece] | mine.title
    return {
        "dense": max((one.hit.dense for one in reads if one.hit.dense is not None), default=0.0),
        "passage": max(sum(weights[word] for word in weights.keys() & one.every) for one in reads) / total,
        "sentence": sum(weights[word] for word in weights.keys() & held) / total,
        "pairs": len(asked.pairs.intersection(pairwise(words))) / len(asked.pairs) if asked.pairs else 0.0,
        "score": best.score / 10.0,
    }
