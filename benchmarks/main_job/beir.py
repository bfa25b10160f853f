"""A folder in BEIR's form: corpus, questions, and which passages answer which question. Only ever read."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

import msgspec


class Unusable(Exception):
    """The folder is not one, and why."""


class Question(msgspec.Struct, frozen=True):
    """One question. `answers` is None where the folder knows no answers."""

    id: str
    text: str
    answers: tuple[str, ...] | None = None
    impossible: bool = False


class Dataset(msgspec.Struct, frozen=True):
    """A folder that was read.

    `answerable` have relevant passages and are not marked impossible. `outside` are questions whose answer the corpus
    does not hold anywhere; `outside_flagged` are those where some answer's words happen to occur in it.
    """

    name: str
    corpus: Path
    passages: int
    answerable: tuple[Question, ...]
    impossible: tuple[Question, ...]
    outside: tuple[Question, ...]
    outside_flagged: tuple[Question, ...]
    relevant: Mapping[str, Mapping[str, float]]

    def sampled(self, count: int, *, seed: int) -> Dataset:
        """At most `count` of each kind of question, drawn by the seed."""

        def drawn(questions: tuple[Question, ...]) -> tuple[Question, ...]:
            return tuple(some(questions, count, seed=seed))

        return msgspec.structs.replace(
            self,
            answerable=drawn(self.answerable),
            impossible=drawn(self.impossible),
            outside=drawn(self.outside),
            outside_flagged=drawn(self.outside_flagged),
        )


def some(questions: Sequence[Question], count: int, *, seed: int) -> list[Question]:
    """At most `count`, drawn by the seed, in their order."""
    if len(questions) <= count:
        return list(questions)
    chosen = sorted(random.Random(seed).sample(range(len(questions)), count))  # noqa: S311 - a sample, not a secret
    return [questions[index] for index in chosen]


def read_dataset(folder: Path) -> Dataset:
    """Read everything but the passages' texts. Raises Unusable."""
    if not folder.is_dir():
        raise Unusable(f"{folder} is not a folder.")
    corpus = _one_of(folder, "corpus.jsonl", "corpus.jsonl.gz")
    relevant = _relevant(_one_of(folder, "qrels.tsv", "qrels/test.tsv"))
    asked = [_question(line) for line in lines(_one_of(folder, "queries.jsonl", "queries.jsonl.gz"))]
    outside: list[Question] = []
    flagged: list[Question] = []
    for name in ("queries_out_of_corpus.jsonl", "queries_out_of_corpus.jsonl.gz"):
        if (folder / name).is_file():
            for line in lines(folder / name):
                (flagged if line.get("answer_string_occurs_in_corpus") else outside).append(_question(line))
    return Dataset(
        name=folder.resolve().name,
        corpus=corpus,
        passages=sum(1 for _ in lines(corpus)),
        answerable=tuple(question for question in asked if question.id in relevant and not question.impossible),
        impossible=tuple(question for question in asked if question.impossible),
        outside=tuple(outside),
        outside_flagged=tuple(flagged),
        relevant=relevant,
    )


def lines(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file, compressed or not. Raises Unusable with the line's number."""
    with _open(file) as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise Unusable(f"{file}, line {number}: {error}.") from error
                if not isinstance(value, dict) or not {"_id", "text"} <= value.keys():
                    raise Unusable(f"{file}, line {number}: not an object with _id and text.")
                yield value


def _question(line: Mapping[str, Any]) -> Question:
    answers = line.get("answers")
    return Question(
        id=str(line["_id"]),
        text=str(line["text"]),
        answers=None if answers is None else tuple(map(str, answers)),
        impossible=bool(line.get("impossible", False)),
    )


def _relevant(file: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    with _open(file) as stream:
        rows = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        for number, row in enumerate(rows, start=1):
            if number == 1 and row[-1:] == ["score"]:
                continue
            try:
                query, passage, score = row
                grade = float(score)
            except ValueError as error:
                raise Unusable(f"{file}, line {number}: not query-id, corpus-id, score.") from error
            if grade > 0:
                found.setdefault(query, {})[passage] = grade
    return found


def _one_of(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise Unusable(f"{folder} has no {' or '.join(names)}: it must be in BEIR's form.")


def _open(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return cast("TextIO", gzip.open(file, "rt", encoding="utf-8", newline=""))
    return file.open(encoding="utf-8", newline="")
