"""Kill -9 at any moment of an ingestion, run the same command again: the end is that of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

from tests.program import penstock, start

KILLS = int(os.environ.get("PENSTOCK_KILLS", "6"))
SEED = 20261121
EXACT = {"PENSTOCK_EMBED_PRECISION": "fp32"}
"""In bf16 the last bits of a vector depend on what else was in its batch, and dumps compare them."""


def write_corpus(path: Path, random_: random.Random) -> None:
    words = ["river", "stone", "bridge", "market", "winter", "engine", "garden", "letter", "harbour", "mountain"]
    with path.open("w", encoding="utf-8") as stream:
        for number in range(150):
            # One in ten is long enough for several passages.
            length = 400 if number % 10 == 0 else 12
            text = " ".join(random_.choice(words) + ("." if place % 9 == 8 else "") for place in range(length))
            stream.write(json.dumps({"_id": f"d{number}", "title": f"Story {number}", "text": text}) + "\n")


def test_a_killed_ingestion_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    random_ = random.Random(SEED)
    print(f"seed {SEED}")
    corpus = tmp_path / "corpus.jsonl"
    write_corpus(corpus, random_)
    undisturbed = penstock("ingest", corpus, "--data", tmp_path / "undisturbed", **EXACT)
    assert undisturbed.returncode == 0, undisturbed.stderr

    # Somewhat changed documents come second, so that kills also meet replacements.
    killed = tmp_path / "killed"
    first = [line.replace("river", "rivers") for line in corpus.read_text(encoding="utf-8").splitlines()[:60]]
    (tmp_path / "first.jsonl").write_text("\n".join(first), encoding="utf-8")
    assert penstock("ingest", tmp_path / "first.jsonl", "--data", killed, **EXACT).returncode == 0
    hit = 0
    for _ in range(KILLS):
        process = start("ingest", corpus, "--data", killed, **EXACT)
        time.sleep(random_.uniform(0.8, 3.5))
        process.kill()
        process.communicate()
        hit += process.returncode == -signal.SIGKILL
    last = penstock("ingest", corpus, "--data", killed, **EXACT)

    assert hit > 0, "every kill came too late"
    assert last.returncode == 0, last.stderr
    expected = penstock("dump", "default", "--data", tmp_path / "undisturbed", **EXACT)
    actual = penstock("dump", "default", "--data", killed, **EXACT)
    assert expected.returncode == actual.returncode == 0
    assert expected.stdout.count("\n") > 300
    assert sorted(actual.stdout.splitlines()) == sorted(expected.stdout.splitlines())
