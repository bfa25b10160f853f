"""Which pieces of the passages answer the question: features and their weights.

The score of a piece is linear in few features that need no corpus: how much of the question's words it and its
neighbourhood hold, weighted by rarity; whether it offers the kind of thing asked for; how well its passage did in
the search. Weights are fitted on squad-train by `benchmarks/answer_quality.py fit` (softmax over all pieces of a
question's hits, against the pieces that hold a known answer).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.core.types import Hit
from penstock.generate.extractive import cues
from penstock.generate.extractive.sentences import Piece, pieces
from penstock.generate.extractive.words import rarity, stems

_ASKING = (
    "who whom whose what when where which why how is are was were be been do doe did can could should would will may"
    " might must has have had a an the of to in on for by and or it this that i my me you your we our there at as"
    " from with about into tell explain describ show list name pleas"
)
QUESTION_WORDS = frozenset(_ASKING.split())
"""Stems that ask or bind; they say nothing of what is asked about."""

MAX_WORDS = 48
"""Words of a question that are looked for."""

FEATURES = (
    "covered",
    "covered_beside_title",
    "neighbours",
    "passage_covered",
    "dense",
    "pairs",
    "person",
    "time",
    "year",
    "place",
    "count",
    "reason",
    "similar",
    "question",
)

WEIGHTS: dict[str, float] = {
    "covered": 4.65,
    "covered_beside_title": 3.73,
    "neighbours": 3.62,
    "passage_covered": 3.22,
    "dense": 16.83,
    "pairs": 3.27,
    "person": 1.39,
    "time": 1.91,
    "year": 3.27,
    "place": 1.05,
    "count": 2.31,
    "reason": 0.53,
    "similar": 3.99,
    "question": -7.07,
}


class Asked(msgspec.Struct, frozen=True):
    """A question, taken apart. `weights` maps each telling stem to its rarity."""

    text: str
    lower: str
    kind: cues.Wanted
    weights: dict[str, float]
    pairs: frozenset[tuple[str, str]]


class Read(msgspec.Struct, frozen=True):
    """A hit, taken apart: its pieces and each piece's stems."""

    hit: Hit
    pieces: list[Piece]
    words: list[list[str]]
    sets: list[frozenset[str]]
    title: frozenset[str]
    every: frozenset[str]


class Ranked(msgspec.Struct, frozen=True):
    """A piece with its score. `hit` and `piece` are places, from 0."""

    hit: int
    piece: int
    score: float


def ask(question: str) -> Asked:
    """Take a question apart. Of a very long one, only the rarest words count."""
    words = stems(question)
    telling = dict.fromkeys(word for word in words if word not in QUESTION_WORDS) or dict.fromkeys(words)
    rarest = sorted(telling, key=rarity, reverse=True)[:MAX_WORDS]
    weights = {word: rarity(word) for word in rarest}
    pairs = frozenset(pair for pair in pairwise(words) if pair[0] in weights or pair[1] in weights)
    return Asked(question, question.lower(), cues.wanted(question), weights, pairs)


def read(hit: Hit) -> Read:
    text = hit.chunk.text
    found = pieces(text)
    words = [stems(text[piece.start : piece.end]) for piece in found]
    sets = [frozenset(each) for each in words]
    title = frozenset(stems(" ".join((hit.title, *hit.chunk.headings))[:1_000]))
    return Read(hit, found, words, sets, title, title.union(*sets))


def features(asked: Asked, reads: Sequence[Read]) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    """One row per piece in the order of FEATURES, and where each row's piece is (hit, piece)."""
    places = [(h, p) for h, one in enumerate(reads) for p in range(len(one.pieces))]
    if not places:
        return np.zeros((0, len(FEATURES))), places
    weights = _discounted(asked, reads)
    known = [one.hit.dense for one in reads if one.hit.dense is not None]
    best, least = max(known, default=0.0), min(known, default=0.0)
    rows: list[list[float]] = []
    for one in reads:
        dense = least if one.hit.dense is None else one.hit.dense
        rows += _rows_of(asked, weights, one, dense - best)
    return np.array(rows), places


def rank(asked: Asked, reads: Sequence[Read], weights: Mapping[str, float] = WEIGHTS) -> list[Ranked]:
    """All pieces, best first; headings never answer."""
    table, places = features(asked, reads)
    scores = table @ np.array([weights[name] for name in FEATURES])
    ranked = [Ranked(h, p, float(scores[i])) for i, (h, p) in enumerate(places) if reads[h].pieces[p].kind != "heading"]
    ranked.sort(key=lambda each: (-each.score, each.hit, each.piece))
    return ranked


def _discounted(asked: Asked, reads: Sequence[Read]) -> dict[str, float]:
    """A word that stands in most pieces of the hits tells little about which of them to take."""
    total = sum(len(one.sets) for one in reads)
    seen: Counter[str] = Counter()
    for one in reads:
        for each in one.sets:
            seen.update(asked.weights.keys() & each)
    return {word: weight * (1.0 - 0.9 * seen[word] / total) for word, weight in asked.weights.items()}


def _rows_of(asked: Asked, weights: dict[str, float], one: Read, lead: float) -> list[list[float]]:
    total = sum(weights.values()) or 1.0
    telling = weights.keys()
    held = [telling & each for each in one.sets]
    passage = sum(weight for word, weight in weights.items() if word in one.every) / total
    rows = []
    for p, piece in enumerate(one.pieces):
        mine = held[p]
        near = (held[p - 1] if p else set()) | (held[p + 1] if p + 1 < len(held) else set())
        sentence = one.hit.chunk.text[piece.start : piece.end]
        rows.append(
            [
                sum(weights[word] for word in mine) / total,
                sum(weights[word] for word in mine if word not in one.title) / total,
                sum(weights[word] for word in near - mine) / total,
                passage,
                lead,
                _pairs(asked, one.words[p]) if mine else 0.0,
                *_offers(asked, sentence),
                _similar(weights, mine, one.sets[p]) / total,
                1.0 if sentence.endswith("?") else 0.0,
            ]
        )
    return rows


def _pairs(asked: Asked, words: list[str]) -> float:
    if not asked.pairs:
        return 0.0
    return len(asked.pairs.intersection(pairwise(words))) / len(asked.pairs)


def _offers(asked: Asked, sentence: str) -> list[float]:
    offered = cues.offers(asked.kind, sentence, asked.lower)
    return [offered if asked.kind == kind else 0.0 for kind in ("person", "time", "year", "place", "count", "reason")]


def _similar(weights: dict[str, float], mine: set[str], words: frozenset[str]) -> float:
    """Weight of the question's words that only share their first five letters with a word here (defend, defence)."""
    missing = {word[:5]: weight for word, weight in weights.items() if word not in mine and len(word) >= 5}
    if not missing:
        return 0.0
    return sum(missing[start] for start in {word[:5] for word in words} & missing.keys())
