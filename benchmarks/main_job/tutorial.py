"""The tutorial's arm: its environment, its ingestion, its server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.main_job.beir import Dataset
from benchmarks.main_job.caller import Request, ask_all, encode
from benchmarks.main_job.metrics import distinct, ranking
from benchmarks.main_job.process import Failed, Server, clean_environment, free_port, run, serving
from benchmarks.main_job.program import DEPTH

FOLDER = Path(__file__).resolve().parents[1] / "tutorial"
ENVIRONMENT = Path(".venv-bench")
TORCH = "torch==2.13.0"
"""First and by version: else pip takes gigabytes of CUDA along."""
NEEDED = ("torch", "sentence-transformers", "transformers", "faiss-cpu", "fastapi", "uvicorn")
PATIENCE_S = 180.0
CALLERS = 4


class Tutorial:
    """The stack, run with `python` of its environment on the same weights as ours."""

    def __init__(self, *, python: Path, model: Path, cwd: Path) -> None:
        self.python = python
        self._cwd = cwd
        self._env = clean_environment() | {"MODEL": str(model), "HF_HUB_OFFLINE": "1"}

    def versions(self) -> dict[str, str]:
        code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {NEEDED}}}))"
        shown = subprocess.run([str(self.python), "-c", code], capture_output=True, text=True, check=True)
        versions: dict[str, str] = json.loads(shown.stdout)
        return versions

    def ingest(self, corpus: Path, index: Path) -> dict[str, Any]:
        """Raises Failed."""
        command = [str(self.python), str(FOLDER / "rag.py"), "ingest", str(corpus.resolve()), str(index)]
        ran = run(command, env=self._env, cwd=self._cwd)
        figures = json.loads(ran.said.strip().splitlines()[-1])
        return {**figures, "command_s": ran.seconds, "peak_mb": ran.peak_mb}

    @contextmanager
    def serve(self, index: Path) -> Iterator[Server]:
        """One worker, on a free port. Raises Failed."""
        port = free_port()
        command = [str(self.python), "-m", "uvicorn", "rag:app", "--app-dir", str(FOLDER), "--port", str(port)]
        with serving(
            [*command, "--log-level", "warning"],
            port=port,
            ready="/health",
            env=self._env | {"INDEX": str(index)},
            cwd=self._cwd,
            log=self._cwd / f"tutorial-{port}.log",
            patience_s=PATIENCE_S,
        ) as server:
            yield server

    async def quality(self, port: int, data: Dataset, report: Callable[[], None]) -> dict[str, Any]:
        requests = [search_request(question.text) for question in data.answerable]
        pages = await ask_all(port, requests, callers=CALLERS, report=report)
        found = {
            question.id: distinct(item["id"] for item in page["results"])
            for question, page in zip(data.answerable, pages, strict=True)
        }
        figures = ranking(found, data.relevant)
        return {name: getattr(figures, name) for name in figures.__struct_fields__}


def search_request(text: str) -> Request:
    return Request("/search", encode({"query": text, "k": DEPTH}))


def environment(root: Path, say: Callable[[str], None]) -> Path:
    """A Python that has what the tutorial needs: PENSTOCK_BENCH_VENV, or one made here once. Raises Failed."""
    given = os.environ.get("PENSTOCK_BENCH_VENV")
    folder = Path(given) if given else root / ENVIRONMENT
    python = folder.absolute() / "bin" / "python"
    if python.exists() and _complete(python):
        return python
    if given:
        raise Failed(f"{folder} (PENSTOCK_BENCH_VENV) lacks one of {', '.join(NEEDED)}.")
    say(f"Making {ENVIRONMENT} with torch and sentence-transformers; once, and it takes minutes.")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, TORCH],
        [*pip, "-r", str(FOLDER / "requirements.txt")],
    ):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise Failed(f"{' '.join(command)} failed:\n{made.stderr[-2000:]}")
    return python


def _complete(python: Path) -> bool:
    code = f"import importlib.metadata as m; [m.version(n) for n in {NEEDED}]"
    return subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0
