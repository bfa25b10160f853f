"""Every case is computed by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.main_job.metrics import (
    Point,
    best_within,
    contains,
    curve,
    distinct,
    hit,
    ndcg,
    normalised,
    percentile,
    ranking,
    reciprocal_rank,
)

RANKED = ["a", "b", "c", "d", "e", "f"]


def test_a_document_counts_once_at_its_best_place() -> None:
    assert distinct(["a", "b", "a", "c", "b"]) == ["a", "b", "c"]


@pytest.mark.parametrize(("depth", "expected"), [(1, 0.0), (2, 0.0), (3, 1.0), (5, 1.0)])
def test_hit(depth: int, expected: float) -> None:
    assert hit(RANKED, {"c": 1.0}, depth) == expected


def test_reciprocal_rank_is_of_the_first_relevant_one() -> None:
    assert reciprocal_rank(RANKED, {"e": 1.0, "c": 1.0}) == pytest.approx(1 / 3)


def test_reciprocal_rank_ends_at_its_depth() -> None:
    assert reciprocal_rank(RANKED, {"c": 1.0}, depth=2) == 0.0


def test_ndcg_of_one_relevant_document_is_its_discount() -> None:
    assert ndcg(RANKED, {"c": 1.0}) == pytest.approx(1 / math.log2(4))
    assert ndcg(RANKED, {"a": 1.0}) == 1.0
    assert ndcg(RANKED, {"z": 1.0}) == 0.0


def test_ndcg_weighs_grades_and_places() -> None:
    # Found: grade 1 at place 1, grade 2 at place 2. Best: 2 at place 1, 1 at place 2. log2(2) = 1, log2(3) = 1.58496.
    gained, best = 1 + 2 / 1.5849625, 2 + 1 / 1.5849625
    assert ndcg(["a", "b"], {"a": 1.0, "b": 2.0}) == pytest.approx(gained / best)


def test_ndcg_counts_what_was_not_found_among_the_best_possible() -> None:
    assert ndcg(["a"], {"a": 1.0, "b": 1.0}) == pytest.approx(1 / (1 + 1 / 1.5849625))


def test_the_best_possible_is_no_longer_than_the_depth() -> None:
    assert ndcg(["a"], {"a": 1.0, "b": 1.0}, depth=1) == 1.0


def test_ranking_is_the_mean_over_questions() -> None:
    figures = ranking({"q1": ["a", "b"], "q2": ["x", "y", "c"]}, {"q1": {"a": 1.0}, "q2": {"c": 1.0}})
    assert (figures.questions, figures.hit_at_1, figures.hit_at_5) == (2, 0.5, 1.0)
    assert figures.mrr_at_10 == pytest.approx((1 + 1 / 3) / 2)
    assert figures.ndcg_at_10 == pytest.approx((1 + 0.5) / 2)


def test_a_question_without_hits_counts() -> None:
    assert ranking({"q1": []}, {"q1": {"a": 1.0}}).hit_at_5 == 0.0


def test_texts_are_normalised_as_squad_does() -> None:
    assert normalised("The  Cat's  hat, an apple & A-frame.") == "cats hat apple aframe"


@pytest.mark.parametrize(
    ("answer", "golden", "expected"),
    [
        ("It was founded in 1856, by the Swiss.", ["1856"], True),
        ("It was founded in 18567.", ["1856"], False),  # whole words only
        ("In the Amazon Rainforest it rains.", ["Amazon rainforest"], True),
        ("It has 5,500,000 square kilometres.", ["5500000"], True),
        ("Nothing of the kind.", ["other", "the kind"], True),
        ("Nothing.", ["the", "..."], False),  # nothing is left of these, and nothing is not an answer
        ("Nothing.", [], False),
        ("...", ["the"], False),
    ],
)
def test_an_answer_contains_a_golden_one(answer: str, golden: list[str], *, expected: bool) -> None:
    assert contains(answer, golden) is expected


def test_the_curve_says_what_each_threshold_would_do() -> None:
    points = curve([0.1, 0.2, 0.6, 0.9], [0.3, 0.7, 0.8, 0.95], [0.0, 0.3, 0.65, 1.0])
    assert points == [Point(0.0, 0.0, 0.0), Point(0.3, 0.5, 0.0), Point(0.65, 0.75, 0.25), Point(1.0, 1.0, 1.0)]


def test_the_best_point_refuses_no_more_than_allowed() -> None:
    unanswerable, answerable = [0.1, 0.2, 0.6, 0.9], [0.3, 0.7, 0.8, 0.95]
    strict = best_within(unanswerable, answerable, 0.0)
    assert (strict.unanswerable, strict.answerable) == (0.5, 0.0)
    loose = best_within(unanswerable, answerable, 0.25)
    assert (loose.unanswerable, loose.answerable) == (0.75, 0.25)


def test_the_best_point_may_be_above_every_confidence() -> None:
    assert best_within([0.5, 1.0], [0.2], 1.0).unanswerable == 1.0


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (75, 3.0), (99, 4.0), (0, 1.0)])
def test_a_percentile_is_a_value_that_occurred(percent: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == expected
