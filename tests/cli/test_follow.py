"""`penstock up --watch`: what changes in a folder is found, what is renamed moves, and what is deleted is gone."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.program import start

WITHIN_S = 60.0


def found(address: str, words: str) -> list[tuple[str, str]]:
    request = urllib.request.Request(
        f"{address}/v1/vector_stores/default/search",
        data=json.dumps({"query": words}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        hits = json.load(answer)["data"]
    return [(hit["filename"], hit["content"][0]["text"]) for hit in hits]


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end_s, "it was not found in time"
        time.sleep(0.2)


def test_a_folder_is_followed(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("one", "two", "three"):
        (docs / f"{name}.md").write_text(f"# {name}\n\nThe harbour of number {name} has its own lighthouse.")
    process = start("up", docs, "--watch", "--data", tmp_path / "data", "--port", "0")
    try:
        assert process.stdout is not None
        said = ""
        while (match := re.search(r"Open\s+(\S+)", said)) is None:
            said += process.stdout.readline()
        address = match[1]

        beside = docs / "two.md.tmp~"
        beside.write_text("# two\n\nThe harbour of number two burned down.")
        beside.replace(docs / "two.md")
        (docs / "one.md").rename(docs / "first.md")
        (docs / "three.md").unlink()

        def in_step() -> bool:
            hits = found(address, "harbour lighthouse")
            names = {name for name, _ in hits}
            return names == {"first.md", "two.md"} and any("burned down" in text for _, text in hits)

        until(in_step)
        assert not any("two has its own" in text for _, text in found(address, "two has its own lighthouse"))
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
