"""`penstock jobs` on a data folder that somebody else has open: what failed, why, and another try."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.program import penstock
from tests.uploads import Parts


def jobs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return penstock("jobs", *arguments, timeout_s=300)


@pytest.mark.timeout(600)
async def test_jobs_that_failed_are_listed_retried_and_replayed_beside_a_server(tmp_path: Path) -> None:
    parts = Parts(folder=tmp_path)
    await parts.start()
    store = await parts.store()
    names = {}
    for name, text in (("bug.txt", "explode"), ("bad.txt", "broken"), ("good.txt", "A good text.")):
        file = await parts.upload(text, name)
        names[name] = file.id
        await parts.attach(store, file)
    await parts.work_off()

    listed = jobs("list", "--state", "failed", "--json", "--data", tmp_path)
    assert listed.returncode == 0, listed.stderr
    rows = {row["filename"]: row for row in json.loads(listed.stdout)}
    assert set(rows) == {"bug.txt", "bad.txt"}
    assert (rows["bug.txt"]["reason"], rows["bug.txt"]["attempts"]) == ("internal", 5)
    assert rows["bug.txt"]["worker"].startswith("inside-")
    assert (rows["bad.txt"]["reason"], rows["bad.txt"]["error"]) == ("corrupt", "It says so itself.")
    shown = jobs("show", names["good.txt"], "--data", tmp_path)
    assert json.loads(shown.stdout)[0]["status"] == "completed"

    dead = jobs("dead", "--json", "--data", tmp_path)
    (letter,) = json.loads(dead.stdout)
    assert (letter["file_id"], letter["attempts"]) == (names["bug.txt"], 5)
    assert "RuntimeError" in letter["reason"]

    replayed = jobs("replay", "--all", "--data", tmp_path)
    assert replayed.returncode == 0, replayed.stderr
    retried = jobs("retry", names["bad.txt"], "--data", tmp_path)
    assert retried.returncode == 0, retried.stderr
    assert await parts.states(store) == {"bug.txt": "queued", "bad.txt": "queued", "good.txt": "completed"}
    await parts.work_off()
    assert await parts.states(store) == {"bug.txt": "failed", "bad.txt": "failed", "good.txt": "completed"}
    assert parts.reader.parsed.count("bug.txt") == 10
    assert parts.reader.parsed.count("bad.txt") == 2

    done = jobs("retry", names["good.txt"], "--data", tmp_path)
    assert done.returncode == 2
    assert names["good.txt"] in done.stderr
    await parts.stop()
