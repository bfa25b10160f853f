"""A worker that is stopped at the worst moment: what it had taken is another's at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from penstock.catalog.jobs import MAX_TRIES, Assignment, Refused, Ticket
from penstock.core.errors import StageUnavailable
from penstock.core.messages import Lease, Verdict
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


@pytest.mark.parametrize("call", ["begin", "give_up"])
async def test_messages_are_anothers_at_once_when_the_server_has_gone(uploads: Parts, call: str) -> None:
    store = await uploads.store()
    text = "explode" if call == "give_up" else "Leased by a worker whose server dies."
    await uploads.attach(store, await uploads.upload(text))
    await uploads.outbox.carry()
    real = getattr(uploads.desk, call)

    async def gone(*_: object, **__: object) -> object:
        raise StageUnavailable("server", "killed")

    setattr(uploads.desk, call, gone)
    with pytest.raises(StageUnavailable):
        await uploads.work.step()
    setattr(uploads.desk, call, real)

    uploads.now_s += 2.0  # much less than a lease of the queue
    (lease,) = await uploads.queue.lease(10, wait_s=0.0)
    await uploads.queue.settle([Verdict(lease=lease, kind="retry")])


async def test_a_bug_of_ours_in_a_step_is_counted(uploads: Parts) -> None:
    store = await uploads.store()
    await uploads.attach(store, await uploads.upload("Whatever."))
    embed = uploads.work._embed

    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    uploads.work._embed = broken  # type: ignore[method-assign]
    for _ in range(MAX_TRIES):
        await uploads.outbox.carry()
        with pytest.raises(RuntimeError):
            await uploads.work.step()
        uploads.now_s += 10_000.0
    uploads.work._embed = embed  # type: ignore[method-assign]
    assert await uploads.states(store) == {"a.txt": "failed"}
    (record,) = await uploads.ledger.all(store.id)
    assert "RuntimeError" in record.error
