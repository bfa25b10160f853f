from __future__ import annotations

import pytest

from benchmarks.main_job.beir import Question
from benchmarks.main_job.program import without_markers
from benchmarks.main_job.quality import Answered, judge


def answered(text: str, *, abstained: bool = False, confidence: float = 0.9, sentences: int = 1) -> Answered:
    return Answered(text=text, sentences=sentences, abstained=abstained, confidence=confidence)


NOTHING = {"outside": [], "outside_flagged": [], "impossible": []}
QUESTIONS = [Question(id=str(number), text="?", answers=("1856",)) for number in range(4)]


def test_an_abstention_counts_against_the_answers() -> None:
    answers = [answered("In 1856."), answered("In 1857."), answered("1856"), answered("", abstained=True)]
    figures = judge(QUESTIONS, {"answerable": answers, **NOTHING})
    assert figures["contains"] == 0.5
    assert figures["contains_when_answered"] == pytest.approx(2 / 3)
    assert figures["abstained_answerable"] == 0.25


def test_text_of_an_abstention_is_no_answer() -> None:
    assert judge(QUESTIONS[:1], {"answerable": [answered("1856", abstained=True)], **NOTHING})["contains"] == 0.0


def test_questions_without_known_answers_are_not_judged_by_them() -> None:
    figures = judge([Question(id="1", text="?")], {"answerable": [answered("x")], **NOTHING})
    assert "contains" not in figures
    assert figures["abstained_answerable"] == 0.0


def test_a_kind_without_questions_has_no_figures() -> None:
    figures = judge(QUESTIONS[:1], {"answerable": [answered("x")], **NOTHING})
    assert "abstained_outside" not in figures
    assert "curve_outside" not in figures


def test_the_curve_is_of_the_confidences() -> None:
    judged = {
        "answerable": [answered("x", confidence=0.9), answered("x", confidence=0.4)],
        "outside": [answered("", abstained=True, confidence=0.3)],
    }
    figures = judge(QUESTIONS[:2], {**NOTHING, **judged})
    half = next(point for point in figures["curve_outside"] if point["threshold"] == 0.5)
    assert (half["unanswerable"], half["answerable"]) == (1.0, 0.5)
    assert figures["abstained_outside"] == 1.0


def test_marks_of_citations_are_not_the_answers_words() -> None:
    text = "It rains [1]. It pours [12]."
    notes = [{"url_citation": {"start_index": start, "end_index": end}} for start, end in ((9, 12), (23, 27))]
    assert without_markers({"content": text, "annotations": notes}) == "It rains . It pours ."


def test_an_answer_without_a_confidence_is_taken_at_its_word() -> None:
    completion = {
        "choices": [{"message": {"content": "x", "annotations": []}}],
        "penstock": {"abstained": False, "confidence": None},
    }
    assert Answered.of(completion).confidence == 1.0
