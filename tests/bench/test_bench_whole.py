"""The benchmark as it is typed, on a corpus of a few lines, with the real program."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.core.errors import ModelMissing
from penstock.models.locate import DEFAULT_MODEL, locate

ROOT = Path(__file__).resolve().parents[2]

CORPUS = {
    "river": ("Rivers", "The Danube rises in the Black Forest. It flows into the Black Sea after 2,850 kilometres."),
    "bridge": ("Bridges", "The stone bridge of Regensburg was built from 1135 to 1146. It has sixteen arches."),
    "mill": ("Mills", "A water mill needs a race. The wheel of the old mill at Ulm was taken down in 1911."),
}
QUESTIONS = [
    ("q1", "Where does the Danube rise?", "river", ["the Black Forest"]),
    ("q2", "How many arches has the stone bridge of Regensburg?", "bridge", ["sixteen"]),
    ("q3", "When was the wheel of the old mill at Ulm taken down?", "mill", ["1911"]),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    try:
        locate(DEFAULT_MODEL, may_download=False)
    except ModelMissing as error:
        pytest.skip(f"no encoder: {error.message}")
    into = tmp_path / "rivers"
    into.mkdir()
    corpus = [{"_id": name, "title": title, "text": text} for name, (title, text) in CORPUS.items()]
    (into / "corpus.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in corpus).encode()))
    queries = [{"_id": name, "text": text, "answers": answers} for name, text, _, answers in QUESTIONS]
    (into / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    judged = "".join(f"{name}\t{document}\t1\n" for name, _, document, _ in QUESTIONS)
    (into / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    outside = {"_id": "o1", "text": "Who won the chess championship of 1972?", "answer_string_occurs_in_corpus": False}
    (into / "queries_out_of_corpus.jsonl").write_text(json.dumps(outside) + "\n")
    return into


@pytest.mark.timeout(300)  # two processes that load the encoder, on a machine that may be busy
def test_a_quick_run_measures_everything_but_the_tutorial(folder: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks.main_job", "--quick", "--skip-tutorial"]
    done = subprocess.run(
        [*command, "--beir", folder, "--out", out], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert results["quality"]["search"] == {
        "questions": 3,
        "hit_at_1": 1.0,
        "hit_at_5": 1.0,
        "mrr_at_10": 1.0,
        "ndcg_at_10": 1.0,
    }
    assert results["quality"]["answers"]["abstained_outside"] == 1.0
    assert results["ingest"]["documents"] == 3
    assert results["speed"]["search"]["alone"]["requests"] == 100
    assert results["encode"]["texts"] == 3
    assert not any(row["met"] for row in results["bars"] if row["corpus"])
    assert "nDCG@10" in done.stdout
    assert any("tutorial" in note for note in results["not_measured"])
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_without_data_it_says_what_to_pass(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.main_job"],
        cwd=ROOT,
        env={"PENSTOCK_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "make bench BEIR=folder" in done.stderr
