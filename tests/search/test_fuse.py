"""Two scores become one."""

from uuid import UUID

import pytest

from penstock.config import SearchSettings
from penstock.search.fuse import fuse
from penstock.search.words import reach

A, B, C = UUID(int=2), UUID(int=4), UUID(int=6)


def ids(*args, **settings):
    return [candidate.id for candidate in fuse(*args, reach=10.0, settings=SearchSettings(**settings), limit=10)]


@pytest.mark.parametrize(("weight", "first"), [(0.0, B), (0.3, B), (0.7, A), (1.0, A)])
def test_the_weight_moves_the_order_from_words_to_meaning(weight, first):
    assert ids({A: 0.9, B: 0.3}, {A: 2.0, B: 8.0}, dense_weight=weight)[0] == first


def test_scores_do_not_depend_on_the_other_candidates():
    alone = fuse({A: 0.5}, {A: 5.0}, reach=10.0, settings=SearchSettings(dense_weight=0.5), limit=1)
    among = fuse({A: 0.5, B: 0.9}, {A: 5.0, B: 9.0}, reach=10.0, settings=SearchSettings(dense_weight=0.5), limit=2)
    assert alone[0].score == among[1].score == pytest.approx(0.5)


def test_scores_stay_in_0_to_1_whatever_the_parts_are():
    extreme = fuse({A: -1.0, B: 1.5}, {B: 1e9}, reach=10.0, settings=SearchSettings(), limit=2)
    assert [candidate.score for candidate in extreme] == [1.0, 0.0]


def test_ranks_ignore_how_far_scores_lie_apart():
    assert ids({A: 0.9, B: 0.1, C: 0.0}, {A: 9.0, C: 8.9, B: 0.1}, fusion="ranks") == [A, B, C]
    (best, *_) = fuse({A: 0.9}, {A: 1.0}, reach=1.0, settings=SearchSettings(fusion="ranks"), limit=1)
    assert best.score == pytest.approx(1.0)


def test_equal_scores_come_in_one_order():
    assert ids({C: 0.5, A: 0.5, B: 0.5}, {}) == ids({B: 0.5, C: 0.5, A: 0.5}, {}) == [A, B, C]


def test_reach_grows_with_the_question_and_the_store_and_is_never_zero():
    assert reach(8, 100) > reach(2, 100) > reach(2, 10) > reach(0, 0) > 0
