"""How good: every question asked through the API, hits and answers held against what the folder says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.main_job.beir import Dataset, Question
from benchmarks.main_job.caller import ask_all
from benchmarks.main_job.metrics import best_within, contains, curve, distinct, mean, ranking
from benchmarks.main_job.program import answer_request, files_found, search_request, without_markers

CALLERS = 4
TOLERATED = 0.10
"""Share of answerable questions that may be abstained on, for the best point of the curve."""
THRESHOLDS = [step / 20 for step in range(21)]


class Answered(msgspec.Struct, frozen=True):
    """One answer, as far as it is judged."""

    text: str
    sentences: int
    abstained: bool
    confidence: float

    @classmethod
    def of(cls, completion: Any) -> Answered:
        message, info = completion["choices"][0]["message"], completion["penstock"]
        confidence = info["confidence"]
        return cls(
            text=without_markers(message),
            sentences=len(message["annotations"]),
            abstained=info["abstained"],
            confidence=float(not info["abstained"]) if confidence is None else confidence,
        )


async def search_quality(port: int, data: Dataset, report: Callable[[], None]) -> dict[str, Any]:
    """Ranking figures, documents counted once."""
    requests = [search_request(question.text) for question in data.answerable]
    pages = await ask_all(port, requests, callers=CALLERS, report=report)
    found = {question.id: distinct(files_found(page)) for question, page in zip(data.answerable, pages, strict=True)}
    return msgspec.to_builtins(ranking(found, data.relevant))  # type: ignore[no-any-return]


async def answer_quality(port: int, data: Dataset, report: Callable[[], None]) -> dict[str, Any]:
    """Whether answers hold what they should, and whether the program knows when it has none."""
    groups: Mapping[str, tuple[Question, ...]] = {
        "answerable": data.answerable,
        "outside": data.outside,
        "outside_flagged": data.outside_flagged,
        "impossible": data.impossible,
    }
    asked = [question for group in groups.values() for question in group]
    completions = await ask_all(
        port, [answer_request(question.text) for question in asked], callers=CALLERS, report=report
    )
    answers = iter([Answered.of(completion) for completion in completions])
    judged = {name: [next(answers) for _ in group] for name, group in groups.items()}
    return judge(data.answerable, judged)


def judge(answerable: Sequence[Question], judged: Mapping[str, Sequence[Answered]]) -> dict[str, Any]:
    """Figures of the answers by kind of question; a kind without questions has no figures."""
    figures: dict[str, Any] = {
        f"abstained_{name}": mean(float(answer.abstained) for answer in answers)
        for name, answers in judged.items()
        if answers
    }
    figures["questions"] = {name: len(answers) for name, answers in judged.items()}
    known = [
        (answer, question.answers)
        for question, answer in zip(answerable, judged["answerable"], strict=True)
        if question.answers
    ]
    if known:
        held = [not answer.abstained and contains(answer.text, golden) for answer, golden in known]
        spoken = [fact for fact, (answer, _) in zip(held, known, strict=True) if not answer.abstained]
        figures["contains"] = mean(map(float, held))
        figures["contains_when_answered"] = mean(map(float, spoken))
        figures["most_sentences"] = max(answer.sentences for answer, _ in known)
    can = [answer.confidence for answer in judged["answerable"]]
    for name in ("outside", "impossible"):
        cannot = [answer.confidence for answer in judged[name]]
        if can and cannot:
            figures[f"curve_{name}"] = msgspec.to_builtins(curve(cannot, can, THRESHOLDS))
            figures[f"best_{name}"] = msgspec.to_builtins(best_within(cannot, can, TOLERATED))
    return figures
