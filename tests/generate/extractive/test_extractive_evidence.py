"""How well hits carry a question: more evidence, more confidence."""

import math

from penstock.generate.extractive import judge
from penstock.generate.extractive.evidence import SIGNS, WITH_COSINE, WORDS_ONLY
from tests.generate.extractive.extractive_passages import RIVERS, SALMON, hit


def test_no_hits_no_confidence():
    assert judge("How long is the Rhine?", []).confidence == 0.0
    assert judge("How long is the Rhine?", [hit(" ")]).confidence == 0.0


def test_passages_that_answer_beat_passages_that_do_not():
    good = judge("How long is the Rhine?", [hit(RIVERS), hit(SALMON, number=2)])
    bad = judge("Who painted the ceiling of the Sistine Chapel?", [hit(RIVERS, dense=0.1, lexical=None)])
    assert good.confidence > 0.9
    assert bad.confidence < 0.1


def test_a_nearer_meaning_never_lowers_confidence():
    found = [judge("How long is the Rhine?", [hit(RIVERS, dense=d / 10)]).confidence for d in range(11)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_without_cosines_the_words_decide():
    hits = [hit(RIVERS, dense=None)]
    assert judge("How long is the Rhine?", hits).confidence > 0.5
    assert judge("Who painted the Sistine Chapel?", hits).confidence < 0.5


def test_foreign_cosines_are_left_out():
    near, far = ([hit(RIVERS, dense=dense)] for dense in (0.99, 0.01))
    question = "How long is the Rhine?"
    assert judge(question, near, cosines=False).confidence == judge(question, far, cosines=False).confidence
    assert judge(question, near).confidence != judge(question, far).confidence


def test_the_scale_of_bm25_and_of_the_score_does_not_matter():
    small = judge("How long is the Rhine?", [hit(RIVERS, lexical=0.1, score=0.1)])
    large = judge("How long is the Rhine?", [hit(RIVERS, lexical=90.0, score=1.0)])
    assert small.confidence == large.confidence


def test_every_sign_has_a_weight_that_is_not_negative_and_a_sane_value():
    signs = judge("How long is the Rhine?", [hit(RIVERS), hit(SALMON, number=2)]).signs
    assert tuple(signs) == SIGNS
    for weights in (WITH_COSINE, WORDS_ONLY):
        assert set(weights) == set(SIGNS)
        assert all(weight >= 0.0 for weight in weights.values())
    assert all(math.isfinite(value) and -0.5 <= value <= 3.5 for value in signs.values())
