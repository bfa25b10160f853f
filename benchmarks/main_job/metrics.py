"""What the numbers mean. Pure: lists in, numbers out."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterable, Mapping, Sequence

import msgspec

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class Ranking(msgspec.Struct, frozen=True):
    """Mean figures of many questions."""

    questions: int
    hit_at_1: float
    hit_at_5: float
    mrr_at_10: float
    ndcg_at_10: float


class Point(msgspec.Struct, frozen=True):
    """What abstaining below `threshold` would give: shares of questions, of those without an answer and with one."""

    threshold: float
    unanswerable: float
    answerable: float


def distinct(names: Iterable[str]) -> list[str]:
    """Each document once, where its best passage stands."""
    return list(dict.fromkeys(names))


def hit(ranked: Sequence[str], relevant: Mapping[str, float], depth: int) -> float:
    """1 when a relevant document is among the first `depth`."""
    return float(any(name in relevant for name in ranked[:depth]))


def reciprocal_rank(ranked: Sequence[str], relevant: Mapping[str, float], depth: int = 10) -> float:
    """1 / place of the first relevant document, 0 when none is among the first `depth`."""
    return next((1 / place for place, name in enumerate(ranked[:depth], start=1) if name in relevant), 0.0)


def ndcg(ranked: Sequence[str], relevant: Mapping[str, float], depth: int = 10) -> float:
    """Discounted gain over the best possible; the gain is the grade itself, as trec_eval and BEIR have it."""
    gained = _gain(relevant.get(name, 0.0) for name in ranked[:depth])
    best = _gain(sorted(relevant.values(), reverse=True)[:depth])
    return gained / best if best else 0.0


def _gain(grades: Iterable[float]) -> float:
    return sum(grade / math.log2(place + 1) for place, grade in enumerate(grades, start=1))


def ranking(answers: Mapping[str, Sequence[str]], relevant: Mapping[str, Mapping[str, float]]) -> Ranking:
    """Means over the questions asked. A question without relevant documents is a caller's mistake."""
    pairs = [(names, relevant[question]) for question, names in answers.items()]
    return Ranking(
        questions=len(pairs),
        hit_at_1=mean(hit(names, wanted, 1) for names, wanted in pairs),
        hit_at_5=mean(hit(names, wanted, 5) for names, wanted in pairs),
        mrr_at_10=mean(reciprocal_rank(names, wanted) for names, wanted in pairs),
        ndcg_at_10=mean(ndcg(names, wanted) for names, wanted in pairs),
    )


def normalised(text: str) -> str:
    """As SQuAD's evaluation does: lower case, without punctuation and articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def contains(answer: str, golden: Iterable[str]) -> bool:
    """Whether one of the golden answers stands in the answer as whole words, both normalised."""
    padded = f" {normalised(answer)} "
    return any(f" {wanted} " in padded for text in golden if (wanted := normalised(text)))


def curve(unanswerable: Sequence[float], answerable: Sequence[float], thresholds: Iterable[float]) -> list[Point]:
    """What each threshold on the confidence would give; below it one abstains."""
    return [
        Point(threshold, share_below(unanswerable, threshold), share_below(answerable, threshold))
        for threshold in thresholds
    ]


def best_within(unanswerable: Sequence[float], answerable: Sequence[float], limit: float) -> Point:
    """The threshold that abstains most on the unanswerable and on no more than `limit` of the answerable."""
    points = curve(unanswerable, answerable, [0.0, *sorted({*answerable, *unanswerable}), math.nextafter(1, 2)])
    return max((point for point in points if point.answerable <= limit), key=lambda point: point.unanswerable)


def share_below(values: Sequence[float], threshold: float) -> float:
    return mean(float(value < threshold) for value in values)


def mean(values: Iterable[float]) -> float:
    """0 for no values."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
