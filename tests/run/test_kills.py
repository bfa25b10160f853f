"""A worker or the server killed again and again while documents stream in: nothing is lost, nothing is there twice.

Every document is there once in the end, as its last version says, and the store's canonical dump is that of a store
into which the same documents went undisturbed. `PENSTOCK_STREAM_KILLS=360 PENSTOCK_STREAM_DOCUMENTS=5000` is the long
trial, `PENSTOCK_STREAM_BACKENDS=sqlite,rabbitmq,nats,redis` says over which queues; they share the kills.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.brokers import BROKERS, Broker
from tests.embed.tiny_encoders import make
from tests.run.streaming import Program, Stream, counts, wait_until_done

KILLS = int(os.environ.get("PENSTOCK_STREAM_KILLS", "5"))
DOCUMENTS = int(os.environ.get("PENSTOCK_STREAM_DOCUMENTS", "80"))
BACKENDS = os.environ.get("PENSTOCK_STREAM_BACKENDS", "sqlite,rabbitmq").split(",")
SEED = 20261126
SETTLED_WITHIN_S = 60.0


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


@pytest.mark.timeout(7200)
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path, broker: Broker | None) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    model = make(tmp_path / "model")
    program = Program(tmp_path, model=model, broker=broker, workers=2)
    try:
        program.start()
        stream = Stream(program.url, documents=DOCUMENTS, seed=SEED)
        stream.start()
        servers = workers = 0
        for _ in range(-(-KILLS // len(BACKENDS))):
            time.sleep(dice.uniform(0.2, 2.0))
            if dice.random() < 0.4:
                program.kill_server()
                program.start_server()
                servers += 1
            else:
                number = dice.randrange(2)
                program.kill_worker(number)
                program.start_worker(number)
                workers += 1
        stream.join(600)
        assert not stream.is_alive(), "the stream hangs"
        if stream.failure is not None:
            raise stream.failure
        settled_s = wait_until_done(program.url, stream.store, within_s=SETTLED_WITHIN_S)
        found = counts(program.url, stream.store)
        print(f"{workers} kills of workers, {servers} of the server; settled {settled_s:.1f} s after the last; {found}")
        assert found == {**found, "completed": len(stream.wanted), "failed": 0, "total": len(stream.wanted)}
    finally:
        program.stop()
    # By id: a creation that a kill left unanswered was asked for again, and made another store of that name.
    assert program.dump(stream.store) == undisturbed(tmp_path / "fresh", model, stream.wanted)


def undisturbed(folder: Path, model: Path, wanted: dict[str, str]) -> list[str]:
    """The dump of a new store with these documents."""
    folder.mkdir()
    program = Program(folder, model=model, broker=None, workers=0)
    try:
        program.start()
        with httpx.Client(base_url=f"{program.url}/v1", timeout=60) as client:
            store = client.post("/vector_stores", json={"name": "stream"}).json()["id"]
            ids = [
                client.post("/files", files={"file": (name, text.encode())}, data={"purpose": "assistants"}).json()[
                    "id"
                ]
                for name, text in wanted.items()
            ]
            for start in range(0, len(ids), 1000):
                body = {"file_ids": ids[start : start + 1000]}
                assert client.post(f"/vector_stores/{store}/file_batches", json=body).status_code == 200
        wait_until_done(program.url, store, within_s=600)
    finally:
        program.stop()
    return program.dump()
