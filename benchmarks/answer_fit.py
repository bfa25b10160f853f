"""Fitting the constants of the extractive engine: used by answer_quality.py fit.

Sentences: softmax regression over all pieces of a question's hits, against the pieces that hold a known answer.
Evidence: logistic regression on whether the hits answer the question. Questions that the corpus cannot answer are
made in two ways: about articles that are not in it, and about passages that were taken out of it (a third, two
thirds, most), unless their answer stands somewhere else. The former weigh more, as they are what people ask by
mistake; all together weigh a quarter, as if three of four questions could be answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.core.types import Hit
from penstock.generate.extractive.evidence import SIGNS, signs_of
from penstock.generate.extractive.scoring import FEATURES, Read, ask, features, rank, read

PASSAGES = 8
TAKEN_OUT = (0.0, 0.3, 0.6, 0.85)
NEAR_MISS_WEIGHT = 0.3
ANSWERABLE = 0.75

Found = tuple[dict[str, Any], Sequence[Hit]]
Contains = Callable[[str, list[str]], bool]
Floats = NDArray[np.float64]


class Reader:
    """Reads each chunk once."""

    def __init__(self) -> None:
        self._known: dict[str, Read] = {}

    def read(self, hits: Sequence[Hit]) -> list[Read]:
        reads = []
        for hit in hits:
            known = self._known.get(hit.chunk.id)
            if known is None:
                known = self._known[hit.chunk.id] = read(hit)
            reads.append(Read(hit, known.pieces, known.words, known.sets, known.title, known.every))
        return reads


def fit_sentences(found: Sequence[Found], *, contains: Contains) -> dict[str, float]:
    """Weights by feature."""
    reader = Reader()
    tables, labels = [], []
    for row, hits in found:
        reads = reader.read(hits[:PASSAGES])
        table, places = features(ask(row["text"]), reads)
        spans = [(reads[h].hit.chunk.text, reads[h].pieces[p]) for h, p in places]
        good = np.array([contains(text[piece.start : piece.end], row["answers"]) for text, piece in spans])
        if good.any():
            tables.append(table)
            labels.append(good)
    fitted = _softmax(np.concatenate(tables), np.concatenate(labels), np.array([len(each) for each in labels]))
    return {name: round(float(weight), 2) for name, weight in zip(FEATURES, fitted, strict=True)}


def _softmax(table: Floats, good: NDArray[np.bool_], sizes: NDArray[np.int64], steps: int = 300) -> Floats:
    """Adam on the likelihood that the softmax lies on the good rows of each group."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    group = np.repeat(np.arange(len(sizes)), sizes)
    spread = table.std(0) + 1e-9
    scaled = table / spread
    weights, mean, square = np.zeros((3, table.shape[1]))
    for step in range(1, steps + 1):
        scores = scaled @ weights
        shares = np.exp(scores - np.maximum.reduceat(scores, starts)[group])
        shares /= np.add.reduceat(shares, starts)[group]
        wanted = shares * good
        wanted /= np.maximum(np.add.reduceat(wanted, starts), 1e-12)[group]
        slope = scaled.T @ (shares - wanted) / len(sizes) + 1e-3 * weights
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope**2
        weights = weights - 0.05 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return np.asarray(weights / spread)


def fit_evidence(
    found: Sequence[Found],
    passages: Mapping[str, str],
    golds: Mapping[str, str],
    sentences: dict[str, float],
    *,
    contains: Contains,
    chance: np.random.Generator,
) -> dict[str, Any]:
    """Weights by sign, with cosines and without, and how well they separate articles that they were not fitted on."""
    reader = Reader()
    rows: list[list[float]] = []
    labels: list[bool] = []
    weights: list[float] = []
    articles: list[str] = []
    for share in TAKEN_OUT:
        kept = {name for name in passages if chance.random() >= share}
        corpus = "\n".join(passages[name] for name in sorted(kept))
        everything = " ".join(corpus.lower().split())
        for row, all_hits in found:
            gold = golds[row["_id"]]
            if gold not in kept and any(" ".join(each.lower().split()) in everything for each in row["answers"]):
                continue
            hits = [hit for hit in all_hits if hit.filename in kept][:PASSAGES]
            reads = reader.read(hits)
            asked = ask(row["text"])
            ranked = rank(asked, reads, sentences)
            if not ranked:
                continue
            rows.append(list(signs_of(asked, reads, ranked[0]).values()))
            labels.append(gold in kept and any(contains(hit.chunk.text, row["answers"]) for hit in hits))
            weights.append(1.0 if gold in kept or gold not in passages else NEAR_MISS_WEIGHT)
            articles.append(row["article"])
    return _both(np.array(rows), np.array(labels), np.array(weights), np.array(articles), chance)


def _both(
    table: Floats, good: NDArray[np.bool_], weights: Floats, articles: NDArray[Any], chance: np.random.Generator
) -> dict[str, Any]:
    far = weights == 1.0
    weights = np.where(good, ANSWERABLE / weights[good].sum(), (1 - ANSWERABLE) / weights[~good].sum()) * weights
    half = set(chance.permutation(np.unique(articles))[::2].tolist())
    mine = np.array([each in half for each in articles])
    result: dict[str, Any] = {"questions": len(good), "answerable": int(good.sum())}
    for name, columns in (("with_cosine", range(len(SIGNS))), ("words_only", range(1, len(SIGNS)))):
        chosen = list(columns)
        fitted, intercept = _logistic(table[:, chosen], good, weights)
        tried, constant = _logistic(table[mine][:, chosen], good[mine], weights[mine])
        sure = 1 / (1 + np.exp(-(table[~mine][:, chosen] @ tried + constant)))
        result[name] = {
            "weights": {SIGNS[i]: round(float(each), 2) for i, each in zip(chosen, fitted, strict=True)},
            "intercept": round(intercept, 2),
            "other_half_wrongly": round(float((sure[good[~mine]] < 0.5).mean()), 3),
            "other_half_rightly": round(float((sure[(~good & far)[~mine]] < 0.5).mean()), 3),
            "other_half_near_misses_rightly": round(float((sure[(~good & ~far)[~mine]] < 0.5).mean()), 3),
        }
    return result


def _logistic(table: Floats, good: NDArray[np.bool_], weights: Floats, steps: int = 60) -> tuple[Floats, float]:
    """Newton's method with a light ridge, on standardised columns."""
    centre, spread = table.mean(0), table.std(0) + 1e-9
    rows = np.column_stack([(table - centre) / spread, np.ones(len(table))])
    scale = weights / weights.sum()
    ridge = np.diag([1e-3] * table.shape[1] + [0.0])
    fitted = np.zeros(rows.shape[1])
    for _ in range(steps):
        sure = 1 / (1 + np.exp(-rows @ fitted))
        slope = rows.T @ (scale * (sure - good)) + ridge @ fitted
        fitted -= np.linalg.solve(
            (rows.T * (scale * sure * (1 - sure))) @ rows + ridge + 1e-9 * np.eye(len(ridge)), slope
        )
    weights_out = fitted[:-1] / spread
    return weights_out, float(fitted[-1] - weights_out @ centre)
