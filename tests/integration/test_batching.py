"""Questions that come at the same time share passes, and equal ones a text; with `flow.batching` and
`flow.single_flight` off each has its own.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.assemble import Penstock
from penstock.config import FlowSettings, Settings
from penstock.core.context import start_context
from penstock.core.types import Principal
from penstock.pipeline.question import Question


@pytest.mark.parametrize("batching", [True, False])
async def test_sixteen_at_once(tmp_path: Path, *, batching: bool) -> None:
    penstock = Penstock(settings=Settings(data_dir=str(tmp_path), flow=FlowSettings(batching=batching)), environ={})
    await penstock.start()
    try:
        store = await penstock.store_for_writing("default", "docs")
        ctx = start_context(principal=Principal(), timeout_s=60.0)
        questions = [Question(text=f"What is number {number}?", stores=(store,)) for number in range(16)]
        await asyncio.gather(*(penstock.questions.search(question, ctx) for question in questions))
    finally:
        await penstock.stop()

    text = penstock.metrics.exposition().decode()
    batches = sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("penstock_batch_items_count")
    )
    assert batches < 32 if batching else batches == 32


@pytest.mark.parametrize("single_flight", [True, False])
async def test_the_same_question_sixteen_times_at_once(tmp_path: Path, *, single_flight: bool) -> None:
    flow = FlowSettings(single_flight=single_flight)
    penstock = Penstock(settings=Settings(data_dir=str(tmp_path), flow=flow), environ={})
    await penstock.start()
    try:
        store = await penstock.store_for_writing("default", "docs")
        ctx = start_context(principal=Principal(), timeout_s=60.0)
        question = Question(text="What is it?", stores=(store,))
        await asyncio.gather(*(penstock.questions.search(question, ctx) for _ in range(16)))
    finally:
        await penstock.stop()

    assert encoded(penstock.metrics.exposition().decode()) == (1 if single_flight else 16)


def encoded(exposition: str) -> float:
    """Texts that went through the encoder in batches."""
    (line,) = [row for row in exposition.splitlines() if row.startswith('penstock_batch_items_sum{stage="embed"}')]
    return float(line.rpartition(" ")[2])
