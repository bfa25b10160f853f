"""Checks 12 and 13 over real HTTP, as far as they are counts; `python -m benchmarks.overload` judges the times too."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.overload.checks import CHECKS, Row, Trial

pytestmark = pytest.mark.timeout(120)


async def run(check: str, folder: Path) -> dict[str, Row]:
    trial = Trial(folder=folder, seconds=6.0, slots=8, seed=1, server_cores=(), generator_cores=())
    return {row.what: row for row in await CHECKS[check](trial)}


async def test_nothing_begins_after_the_callers_deadline_and_each_hop_has_less_time(tmp_path: Path) -> None:
    rows = await run("deadlines", tmp_path)
    assert rows["calls of the engine"].met
    assert rows["begun after the deadline"].met
    assert rows["budget on the wire below the caller's"].met


async def test_an_engine_that_fails_is_not_asked_again_and_again(tmp_path: Path) -> None:
    rows = await run("failing", tmp_path)
    assert rows["attempts while it failed"].met, rows
    assert rows["requests that failed for their callers"].measured.startswith("0 of")
