"""Questions that come at the same time share passes; with `flow.batching` off each has its own."""

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
