"""The order of measuring: encoder alone, ingestions in turns, then both servers, quality first and speed after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.main_job.beir import Dataset, some
from benchmarks.main_job.encoding import encode_figures, model_files
from benchmarks.main_job.process import Server, memory_of
from benchmarks.main_job.program import Ingested, Program, answer_request, search_request
from benchmarks.main_job.quality import answer_quality, search_quality
from benchmarks.main_job.speed import Arm, measure, stages_ms
from benchmarks.main_job.tutorial import Tutorial
from benchmarks.main_job.tutorial import search_request as tutorial_request
from penstock.config import Settings

KEPT = "bench-ingestion.json"
"""Beside a store that is kept: how its ingestion went, for runs that find it there."""

Ticks = Callable[[str, int], contextlib.AbstractContextManager[Callable[[], None]]]
"""A progress bar: name and total in, a function that advances it out."""


class Effort(msgspec.Struct, frozen=True):
    """How much of everything."""

    encode_texts: int = 256
    encode_repeats: int = 5
    ingestions: int = 2
    starts: int = 3
    rounds: int = 3
    alone: int = 200
    seconds: float = 5.0
    tutorial_questions: int = 1_500


QUICK = Effort(
    encode_texts=32, encode_repeats=1, ingestions=1, starts=1, rounds=1, alone=100, seconds=2.0, tutorial_questions=200
)


class Bench:
    """One run. Everything is written into `scratch`, or `kept` where a store is to be kept.

    `when` is noted beside a kept store: time and commit.
    """

    def __init__(
        self,
        *,
        root: Path,
        scratch: Path,
        program: Program,
        effort: Effort,
        seed: int,
        when: str,
        say: Callable[[str], None],
        ticks: Ticks,
    ) -> None:
        self._root = root
        self._scratch = scratch
        self._program = program
        self._effort = effort
        self._seed = seed
        self._when = when
        self._say = say
        self._ticks = ticks

    # --- the corpus with answers ----------------------------------------------------

    def main_corpus(self, data: Dataset, *, peer: Path | None) -> dict[str, Any]:
        """Everything about one corpus, beside the tutorial's stack where `peer` is its Python."""
        tutorial = None
        if peer is not None:
            tutorial = Tutorial(python=peer, model=model_files(Settings()).folder, cwd=self._scratch)
        results: dict[str, Any] = {"encode": self._encode(data, peer=peer, repeats=self._effort.encode_repeats)}
        ours, theirs = self._ingestions(data, tutorial)
        served, also_theirs = self._servers(data, tutorial)
        results |= {"ingest": ours, **served}
        if tutorial is not None:
            results["tutorial"] = {"ingest": theirs, **also_theirs, "versions": tutorial.versions()}
        return results

    def _encode(self, data: Dataset, *, peer: Path | None, repeats: int) -> dict[str, Any]:
        self._say(f"{data.name}: the encoder alone" + (", in turns with sentence-transformers" if peer else ""))
        folder = self._scratch / f"encode-{data.name}"
        return encode_figures(
            data, folder, root=self._root, texts=self._effort.encode_texts, repeats=repeats, peer=peer
        )

    def _ingestions(self, data: Dataset, tutorial: Tutorial | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Ours, theirs, ours."""
        runs: list[Ingested] = []
        theirs: dict[str, Any] = {}
        for number in range(self._effort.ingestions):
            self._say(f"{data.name}: `penstock ingest`, {data.passages} documents")
            runs.append(self._program.ingest(data.corpus, self._scratch / f"data-{number}"))
            if tutorial is not None and not theirs:
                self._say(f"{data.name}: the tutorial's ingestion")
                theirs = tutorial.ingest(data.corpus, self._scratch / "index")
                theirs["documents_per_s"] = theirs["documents"] / theirs["seconds"]
        return ingestion_figures(runs), theirs

    def _servers(self, data: Dataset, tutorial: Tutorial | None) -> tuple[dict[str, Any], dict[str, Any]]:
        other: dict[str, Any] = {}
        stored = self._scratch / "data-0"
        starts = self._starts(stored)
        with contextlib.ExitStack() as stack:
            ours = stack.enter_context(self._program.serve(stored))
            results: dict[str, Any] = {"server": {"ready_s": statistics.median([*starts, ours.ready_s])}}
            results["quality"] = asyncio.run(self._quality(ours.port, data))
            arms = self._arms(ours, data)
            theirs = stack.enter_context(tutorial.serve(self._scratch / "index")) if tutorial is not None else None
            if tutorial is not None and theirs is not None:
                other["quality"] = asyncio.run(self._tutorial_quality(tutorial, theirs.port, data))
                requests = [tutorial_request(question.text) for question in self._drawn(data)]
                arms["tutorial"] = Arm(port=theirs.port, requests=requests)
            speed = self._speed(data, arms)
            speed["stages_ms"] = self._stages(ours, data)
            results["server"]["memory"] = _memory(ours)
            if theirs is not None:
                other["speed"] = {"search": speed.pop("tutorial")}
                other["server"] = {"ready_s": theirs.ready_s, "memory": _memory(theirs)}
            results["speed"] = speed
        return results, other

    async def _quality(self, port: int, data: Dataset) -> dict[str, Any]:
        with self._ticks("search quality", len(data.answerable)) as tick:
            search = await search_quality(port, data, tick)
        groups = (data.answerable, data.impossible, data.outside, data.outside_flagged)
        with self._ticks("answer quality", sum(map(len, groups))) as tick:
            return {"search": search, "answers": await answer_quality(port, data, tick)}

    async def _tutorial_quality(self, tutorial: Tutorial, port: int, data: Dataset) -> dict[str, Any]:
        fewer = data.sampled(self._effort.tutorial_questions, seed=self._seed)
        with self._ticks("tutorial's quality", len(fewer.answerable)) as tick:
            return await tutorial.quality(port, fewer, tick)

    # --- a large store ----------------------------------------------------------------

    def load_corpus(self, data: Dataset, *, kept: Path | None) -> dict[str, Any]:
        """Speed on a large store, made in `kept` unless it is there already."""
        folder = kept if kept is not None else self._scratch / "load"
        ingest = self._load_ingestion(data, folder)
        starts = self._starts(folder)
        with self._program.serve(folder) as server:
            speed = self._speed(data, self._arms(server, data))
            speed["stages_ms"] = self._stages(server, data)
            ready_s = statistics.median([*starts, server.ready_s])
            results = {"speed": speed, "server": {"ready_s": ready_s, "memory": _memory(server)}}
        if "share_of_encode" in ingest:
            results["ingest_share_of_encode"] = ingest["share_of_encode"]
        return {"documents": data.passages, "ingest": ingest, **results}

    def _load_ingestion(self, data: Dataset, folder: Path) -> dict[str, Any]:
        note = folder / KEPT
        repeats = min(3, self._effort.encode_repeats)
        # The encoder alone before and after, so that a machine that slows down meanwhile does not decide.
        encodes = [] if note.is_file() else [self._encode(data, peer=None, repeats=repeats)]
        self._say(f"{data.name}: `penstock ingest`, {data.passages} documents")
        ran = self._program.ingest(data.corpus, folder)
        if ran.unchanged or not ran.documents:
            self._say(f"{data.name}: the store was there already; its ingestion is not measured in this run")
            return json.loads(note.read_text(encoding="utf-8")) | {"earlier_run": True} if note.is_file() else {}
        encodes.append(self._encode(data, peer=None, repeats=repeats))
        figures = {"measured": self._when} | ingestion_figures([ran])
        figures["encode_per_s"] = statistics.mean(encode["penstock"]["passages"]["median"] for encode in encodes)
        figures["share_of_encode"] = figures["passages_per_s"] / figures["encode_per_s"]
        note.write_text(json.dumps(figures, indent=2), encoding="utf-8")
        return figures

    # --- both ----------------------------------------------------------------------------

    def _starts(self, stored: Path) -> list[float]:
        """Seconds to ready, of all starts but the last, which serves."""
        self._say("start with existing data to ready")
        seconds = []
        for _ in range(self._effort.starts - 1):
            with self._program.serve(stored) as server:
                seconds.append(server.ready_s)
        return seconds

    def _arms(self, server: Server, data: Dataset) -> dict[str, Arm]:
        questions = self._drawn(data)
        return {
            "search": Arm(
                port=server.port, requests=[search_request(question.text, depth=10) for question in questions]
            ),
            "answer": Arm(port=server.port, requests=[answer_request(question.text) for question in questions]),
        }

    def _drawn(self, data: Dataset) -> Sequence[Any]:
        return some(data.answerable, 2_000, seed=self._seed)

    def _speed(self, data: Dataset, arms: dict[str, Arm]) -> dict[str, Any]:
        effort = self._effort
        self._say(f"{data.name}: over HTTP, {', '.join(arms)}: alone, then 32 callers, in turns")
        return asyncio.run(measure(arms, rounds=effort.rounds, alone_count=effort.alone, seconds=effort.seconds))

    def _stages(self, server: Server, data: Dataset) -> dict[str, float]:
        questions = self._drawn(data)[: self._effort.alone]
        return asyncio.run(stages_ms(server.port, [answer_request(question.text) for question in questions]))


def ingestion_figures(runs: Sequence[Ingested]) -> dict[str, Any]:
    """Medians over the runs, and every run."""
    return {
        "documents": runs[0].documents,
        "passages": runs[0].passages,
        "failed": runs[0].failed,
        "seconds": statistics.median(run.seconds for run in runs),
        "documents_per_s": statistics.median(run.documents / run.seconds for run in runs),
        "passages_per_s": statistics.median(run.passages / run.seconds for run in runs),
        "command_s": statistics.median(run.command_s for run in runs),
        "peak_mb": max((run.peak_mb for run in runs if run.peak_mb), default=None),
        "runs": msgspec.to_builtins(runs),
    }


def _memory(server: Server) -> dict[str, float] | None:
    memory = memory_of(server.pid)
    return None if memory is None else msgspec.to_builtins(memory)
