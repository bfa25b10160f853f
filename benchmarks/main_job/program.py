"""Penstock as a user runs it: `penstock ingest`, `penstock serve`, and its API."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from benchmarks.main_job.caller import Request, encode
from benchmarks.main_job.process import Failed, Server, clean_environment, free_port, run, serving

STORE = "bench"
DEPTH = 20
"""Passages asked for: enough for ten different documents where several passages are of one."""
PATIENCE_S = 120.0

_ENDED = re.compile(
    r"(\d+) files read into (\d+) passages, (\d+) unchanged, (\d+) failed, in ([\d.]+) s", flags=re.IGNORECASE
)


class Ingested(msgspec.Struct, frozen=True):
    """One `penstock ingest`. `seconds` is what it took from text to searchable, `command_s` with start and stop."""

    documents: int
    passages: int
    unchanged: int
    failed: int
    seconds: float
    command_s: float
    peak_mb: float | None


class Program:
    """The command, run in a folder of its own. `command` is what stands before `ingest` or `serve`."""

    def __init__(self, *, command: Sequence[str] | None, cwd: Path) -> None:
        self._command = list(command) if command else [str(Path(sys.executable).with_name("penstock"))]
        self._cwd = cwd
        self._env = clean_environment()

    def ingest(self, corpus: Path, data: Path) -> Ingested:
        """Raises Failed; a document that fails is counted, not raised."""
        ran = run(
            [*self._command, "ingest", str(corpus.resolve()), "--store", STORE, "--data", str(data)],
            env=self._env,
            cwd=self._cwd,
            allowed=(0, 1),
        )
        ends = _ENDED.findall(ran.said)
        if not ends:
            raise Failed(f"`penstock ingest` did not say how it ended:\n{ran.said[-2000:]}")
        documents, passages, unchanged, failed, seconds = ends[-1]
        return Ingested(
            documents=int(documents),
            passages=int(passages),
            unchanged=int(unchanged),
            failed=int(failed),
            seconds=float(seconds),
            command_s=ran.seconds,
            peak_mb=ran.peak_mb,
        )

    @contextmanager
    def serve(self, data: Path) -> Iterator[Server]:
        """Serve the folder on a free port until the end of the block. Raises Failed."""
        port = free_port()
        with serving(
            [*self._command, "serve", "--data", str(data), "--port", str(port)],
            port=port,
            ready="/readyz",
            env=self._env,
            cwd=self._cwd,
            log=self._cwd / f"serve-{port}.log",
            patience_s=PATIENCE_S,
        ) as server:
            yield server

    def changed_settings(self) -> dict[str, Any]:
        """Settings that are not at their defaults: none, unless the environment says otherwise."""
        shown = subprocess.run(
            [*self._command, "config", "show", "--json"],
            env=self._env,
            cwd=self._cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        if shown.returncode:
            return {"unknown": shown.stderr.strip()}
        return {row["key"]: row["value"] for row in json.loads(shown.stdout) if row["source"] != "default"}


def search_request(text: str, *, depth: int = DEPTH) -> Request:
    body = encode({"query": text, "max_num_results": depth})
    return Request(f"/v1/vector_stores/{quote(STORE)}/search", body)


def answer_request(text: str) -> Request:
    return Request("/v1/chat/completions", encode({"messages": [{"role": "user", "content": text}]}))


def files_found(page: Any) -> list[str]:
    return [item["filename"] for item in page["data"]]


def without_markers(message: Any) -> str:
    """The answer's own words: the citations' marks taken out by their offsets, last one first."""
    text: str = message["content"]
    spans = [
        (note["url_citation"]["start_index"], note["url_citation"]["end_index"]) for note in message["annotations"]
    ]
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text
