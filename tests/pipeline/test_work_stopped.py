"""A worker that is stopped at the worst moment: what it had taken is another's at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from penstock.catalog.jobs import Assignment, Refused, Ticket
from penstock.core.messages import Lease
from tests.uploads import Parts


@pytest.fixture
async def uploads(tmp_path: Path) -> AsyncIterator[Parts]:
    uploads = Parts(folder=tmp_path)
    await uploads.start()
    yield uploads
    await uploads.stop()


async def test_what_was_assigned_while_the_worker_was_stopped_is_given_back(uploads: Parts) -> None:
    store = await uploads.store()
    await uploads.attach(store, await uploads.upload("Assigned to a worker that is being stopped."))
    await uploads.outbox.carry()
    assigned = asyncio.Event()
    begin = uploads.desk.begin

    async def slow_to_tell(
        tickets: Sequence[Ticket], *, worker: str, models: Sequence[str]
    ) -> list[Assignment | Refused]:
        answers = await begin(tickets, worker=worker, models=models)
        assigned.set()
        await asyncio.sleep(0.05)
        return answers

    uploads.desk.begin = slow_to_tell  # type: ignore[method-assign]
    step = asyncio.create_task(uploads.work.step())
    await assigned.wait()
    assert await uploads.states(store) == {"a.txt": "parsing"}
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step

    assert await uploads.states(store) == {"a.txt": "queued"}


async def test_a_cancellation_that_the_queue_swallowed_is_heeded(uploads: Parts) -> None:
    store = await uploads.store()
    await uploads.attach(store, await uploads.upload("Leased in the moment in which the worker is stopped."))
    await uploads.outbox.carry()
    lease, waits = uploads.queue.lease, asyncio.Event()

    async def deaf(limit: int, *, wait_s: float) -> list[Lease]:
        waits.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return await lease(limit, wait_s=wait_s)

    uploads.queue.lease = deaf  # type: ignore[method-assign]
    step = asyncio.create_task(uploads.work.step())
    await waits.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step

    uploads.queue.lease = lease  # type: ignore[method-assign]
    assert await uploads.states(store) == {"a.txt": "queued"}
    await uploads.work_off()
    assert await uploads.states(store) == {"a.txt": "completed"}
