from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from benchmarks.main_job.beir import Question, Unusable, read_dataset, some


def jsonl(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(jsonl([{"_id": "d1", "text": "one"}]).encode()))
    queries = [
        {"_id": "q1", "text": "known?", "answers": ["one"]},
        {"_id": "q2", "text": "no relevant passage?"},
        {"_id": "q3", "text": "impossible?", "answers": [], "impossible": True},
    ]
    (tmp_path / "queries.jsonl").write_text(jsonl(queries))
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq3\td1\t1\n")
    outside = [
        {"_id": "o1", "text": "elsewhere?", "answer_string_occurs_in_corpus": False},
        {"_id": "o2", "text": "by chance?", "answer_string_occurs_in_corpus": True},
    ]
    (tmp_path / "queries_out_of_corpus.jsonl").write_text(jsonl(outside))
    return tmp_path


def test_questions_are_told_apart(folder: Path) -> None:
    data = read_dataset(folder)
    assert data.answerable == (Question(id="q1", text="known?", answers=("one",)),)
    assert [question.id for question in data.impossible] == ["q3"]
    assert [question.id for question in data.outside] == ["o1"]
    assert [question.id for question in data.outside_flagged] == ["o2"]
    assert data.passages == 1


def test_a_passage_of_grade_zero_is_not_relevant(folder: Path) -> None:
    assert read_dataset(folder).relevant["q1"] == {"d1": 2.0}


def test_only_the_three_files_are_needed(folder: Path) -> None:
    (folder / "queries_out_of_corpus.jsonl").unlink()
    assert read_dataset(folder).outside == ()


def test_the_qrels_may_be_where_beir_has_them(folder: Path) -> None:
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels" / "test.tsv")
    assert read_dataset(folder).relevant["q1"] == {"d1": 2.0}


@pytest.mark.parametrize("missing", ["corpus.jsonl.gz", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(Unusable, match=missing.removesuffix(".gz")):
        read_dataset(folder)


def test_a_bad_line_is_named(folder: Path) -> None:
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "a"}\n{"_id": "q2"}\n')
    with pytest.raises(Unusable, match="line 2"):
        read_dataset(folder)


def test_a_bad_judgement_is_named(folder: Path) -> None:
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\n")
    with pytest.raises(Unusable, match="line 2"):
        read_dataset(folder)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="not a folder"):
        read_dataset(tmp_path / "nowhere")


def test_the_same_seed_draws_the_same() -> None:
    questions = [Question(id=str(number), text="?") for number in range(100)]
    assert some(questions, 10, seed=1) == some(questions, 10, seed=1)
    assert some(questions, 10, seed=1) != some(questions, 10, seed=2)
    assert len({question.id for question in some(questions, 10, seed=1)}) == 10
    assert some(questions, 200, seed=1) == questions
