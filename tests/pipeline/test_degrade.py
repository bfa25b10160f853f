"""What is given up, decided from values: a table."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.config import DegradeSettings
from penstock.core.types import Outlook, Pace
from penstock.pipeline.degrade import RESERVE_S, Situation, answering, reranking

SETTINGS = DegradeSettings()
QUICK = Pace(first_token_s=0.1, token_s=0.005)
SLOW = Pace(first_token_s=1.0, token_s=0.05)
ONE = Outlook(asked=SLOW, is_language_model=True, may_replace=True)
TWO = Outlook(asked=SLOW, smaller=QUICK, is_language_model=True, may_replace=True)
NAMED = Outlook(asked=SLOW, is_language_model=True)
NONE = Outlook(may_replace=True)
UNHEARD = Outlook(is_language_model=True, may_replace=True)


@pytest.mark.parametrize(
    ("situation", "cause"),
    [
        ({"remaining_s": 30.0}, None),
        ({"remaining_s": 30.0, "rerank_s": 0.5, "after_s": 2.0}, None),
        ({"remaining_s": 2.4, "rerank_s": 0.5, "after_s": 2.0}, "time"),
        ({"remaining_s": 0.4, "rerank_s": 0.5}, "time"),
        ({"remaining_s": 0.6, "rerank_s": 0.5}, None),
        ({"remaining_s": 0.1, "rerank_s": None}, None),  # never measured: try
        ({"remaining_s": 30.0, "pressure": 0.79}, None),
        ({"remaining_s": 30.0, "pressure": 0.8}, "pressure"),
    ],
)
def test_whether_to_rerank(situation: dict[str, Any], cause: str | None):
    taken = reranking(Situation(**situation), SETTINGS)
    assert (taken and taken.cause) == cause
    assert taken is None or taken.said.startswith("rerank: left out, ")


@pytest.mark.parametrize(
    ("situation", "steps", "passages", "tokens", "tier"),
    [
        # with time and quiet nothing is given up, whoever answers
        ({"remaining_s": 30.0, "outlook": TWO}, "", None, None, "asked"),
        ({"remaining_s": 30.0, "outlook": NONE}, "", None, None, "asked"),
        # the slow model needs 1.0 + 256 x 0.05 = 13.8 s
        ({"remaining_s": 14.1, "outlook": TWO}, "", None, None, "asked"),
        # three of eight passages save 0.625 s of the 1.0 s
        ({"remaining_s": 13.6, "outlook": TWO}, "passages", 3, None, "asked"),
        # 128 tokens need 0.375 + 6.4
        ({"remaining_s": 8.0, "outlook": TWO}, "passages length", 3, 128, "asked"),
        ({"remaining_s": 5.0, "outlook": TWO}, "passages length model", 3, 128, "smaller"),
        ({"remaining_s": 0.5, "outlook": TWO}, "passages length model extractive", 3, 128, "extractive"),
        ({"remaining_s": 5.0, "outlook": ONE}, "passages length extractive", 3, 128, "extractive"),
        # a caller who named the model keeps it
        ({"remaining_s": 0.5, "outlook": NAMED}, "passages length", 3, 128, "asked"),
        # nothing heard of the model lately: it is tried
        ({"remaining_s": 0.5, "outlook": UNHEARD}, "", None, None, "asked"),
        # what is small already is not cut
        ({"remaining_s": 0.5, "outlook": NAMED, "passages": 3, "output_tokens": 100}, "", None, None, "asked"),
        ({"remaining_s": 6.0, "outlook": TWO, "output_tokens": 64}, "", None, None, "asked"),
        # pressure, threshold by threshold
        ({"remaining_s": 30.0, "outlook": TWO, "pressure": 0.89}, "", None, None, "asked"),
        ({"remaining_s": 30.0, "outlook": TWO, "pressure": 0.9}, "passages", 3, None, "asked"),
        ({"remaining_s": 30.0, "outlook": TWO, "pressure": 1.0}, "passages length", 3, 128, "asked"),
        ({"remaining_s": 30.0, "outlook": TWO, "pressure": 1.1}, "passages length model", 3, 128, "smaller"),
        (
            {"remaining_s": 30.0, "outlook": TWO, "pressure": 1.5},
            "passages length model extractive",
            3,
            128,
            "extractive",
        ),
        ({"remaining_s": 30.0, "outlook": NAMED, "pressure": 9.0}, "passages length", 3, 128, "asked"),
        # without language models there are only passages to save
        ({"remaining_s": 30.0, "outlook": NONE, "pressure": 9.0}, "passages", 3, None, "asked"),
    ],
)
def test_how_to_answer(situation: dict[str, Any], steps: str, passages: int | None, tokens: int | None, tier: str):
    course = answering(Situation(**{"passages": 8, **situation}), SETTINGS)
    assert " ".join(taken.step for taken in course.taken) == steps
    assert (course.passages, course.output_tokens, course.tier) == (passages, tokens, tier)
    cause = "pressure" if situation.get("pressure") else "time"
    assert all(taken.cause == cause and taken.said.startswith(f"{taken.step}: ") for taken in course.taken)


def test_thresholds_and_sizes_are_those_of_the_settings():
    settings = DegradeSettings(
        rerank_pressure=0.1,
        passages_pressure=0.2,
        length_pressure=0.3,
        model_pressure=0.4,
        extractive_pressure=0.5,
        passages=2,
        answer_tokens=32,
    )
    for pressure, count in ((0.19, 0), (0.2, 1), (0.3, 2), (0.4, 3), (0.5, 4)):
        now = Situation(remaining_s=60.0, pressure=pressure, outlook=TWO, passages=8)
        assert len(answering(now, settings).taken) == count
    course = answering(now, settings)
    assert (course.passages, course.output_tokens) == (2, 32)
    assert reranking(now, settings) is not None


def test_what_is_left_after_the_steps_fits_into_the_time():
    for hundredths in range(30, 1500, 7):
        now = Situation(remaining_s=hundredths / 100, outlook=TWO, passages=8)
        course = answering(now, SETTINGS)
        pace = {"asked": SLOW, "smaller": QUICK, "extractive": None}[course.tier]
        if pace is not None:
            share = (course.passages or 8) / 8
            took_s = pace.first_token_s * share + (course.output_tokens or 256) * pace.token_s
            assert took_s <= now.remaining_s - RESERVE_S
