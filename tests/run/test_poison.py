"""One document that breaks whoever reads it, among many: the others are done, and it is given up with its reason.

`PENSTOCK_POISON_DOCUMENTS=1000 PENSTOCK_POISON_BACKENDS=sqlite,nats,rabbitmq,redis` is the long trial.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock.catalog.attachments import Wanted
from penstock.catalog.jobs import MAX_TRIES
from penstock.config import QueueSettings
from penstock.core.ports import Queue
from penstock.queue.build import make_broker
from penstock.run.dispatch import Dispatch
from penstock.run.worker import UploadWorker
from tests.brokers import BROKERS, Broker
from tests.uploads import Parts

DOCUMENTS = int(os.environ.get("PENSTOCK_POISON_DOCUMENTS", "300"))
BACKENDS = os.environ.get("PENSTOCK_POISON_BACKENDS", "sqlite,nats").split(",")


@pytest.fixture(params=BACKENDS)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker | None]:
    if request.param == "sqlite":
        yield None
        return
    broker = BROKERS[request.param]()
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


@pytest.fixture
async def parts(tmp_path: Path, broker: Broker | None) -> AsyncIterator[Parts]:
    queue: Queue | None = None
    if broker is not None:
        settings = QueueSettings(backend=broker.name, url_env="URL")  # type: ignore[arg-type]
        queue = make_broker(settings=settings, environ={"URL": broker.url})
    parts = Parts(folder=tmp_path, queue=queue, now_s=time.time, lease_s=30.0, pause_s=lambda _tries: 0.1)
    await parts.start()
    yield parts
    await parts.stop()


async def until(parts: Parts, condition: object, *, within_s: float) -> float:
    began_s = time.monotonic()
    async with asyncio.timeout(within_s):
        while not await condition():  # type: ignore[operator]
            await asyncio.sleep(0.02)
    return time.monotonic() - began_s


@pytest.mark.timeout(600)
async def test_poison_is_buried_with_its_reason_and_its_neighbours_are_done(parts: Parts) -> None:
    store = await parts.store()
    files = []
    for number in range(DOCUMENTS):
        poison = number == DOCUMENTS // 3
        text = "explode" if poison else f"Document number {number} about pipes."
        files.append(await parts.upload(text, "poison.txt" if poison else f"{number}.txt"))
    worker, dispatch = UploadWorker(work=parts.work), Dispatch(uploads=parts)
    dispatch.start()
    worker.start()
    try:
        await parts.attaching.attach_batch(store, [Wanted(file_id=file.id) for file in files], model="hashing-64")

        async def others_done() -> bool:
            return (await parts.ledger.counts(store.id)).get("completed", 0) == DOCUMENTS - 1

        async def given_up() -> bool:
            return bool(await parts.queue.dead(1))

        took_s = await until(parts, others_done, within_s=120)
        await until(parts, given_up, within_s=400)
    finally:
        await worker.stop()
        await dispatch.stop()

    (letter,) = await parts.queue.dead(10)
    counts = await parts.ledger.counts(store.id)
    print(f"{DOCUMENTS - 1} done in {took_s:.1f} s; poison: {letter.attempts} attempts, {letter.reason}")
    assert counts == {"completed": DOCUMENTS - 1, "failed": 1}
    assert parts.reader.parsed.count("poison.txt") == MAX_TRIES <= 5
    assert max(parts.reader.parsed.count(f"{number}.txt") for number in range(DOCUMENTS)) == 1, (
        "neighbours are read once"
    )
    assert "RuntimeError" in letter.reason
    assert await parts.count_jobs() == 0
