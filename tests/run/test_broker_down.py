"""A broker that dies or freezes: questions go on, uploads are accepted or told when to come again, and nothing is lost.

`PENSTOCK_BROKER_DOWN_S=30` is the long trial, `PENSTOCK_BROKER_BACKENDS=nats,rabbitmq,redis` says which brokers. Only
there the questions' p99 is held to its bar: it needs as many of them, and a machine that does nothing else.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from tests.brokers import BROKERS, Broker
from tests.embed.tiny_encoders import make
from tests.run.streaming import Program, Stream, counts, wait_until_done

DOWN_S = float(os.environ.get("PENSTOCK_BROKER_DOWN_S", "5"))
BACKENDS = os.environ.get("PENSTOCK_BROKER_BACKENDS", "nats").split(",")
IS_SOAK = DOWN_S >= 30
SLOWER = 1.2
LONGEST_S = 2.0
DRAINED_WITHIN_S = 60.0


@pytest.fixture(params=BACKENDS)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    broker = BROKERS[request.param]()
    try:
        broker.start()
        yield broker
    finally:
        broker.thaw()
        broker.remove()


class Asking(Thread):
    """One question after another, until it is told to stop."""

    def __init__(self, url: str, store: str) -> None:
        super().__init__(name="asking", daemon=True)
        self._url = f"{url}/v1/vector_stores/{store}/search"
        self.stopping = Event()
        self.took_s: list[float] = []
        self.failed: list[str] = []

    def run(self) -> None:
        with httpx.Client(timeout=10) as client:
            while not self.stopping.wait(0.02):
                began_s = time.monotonic()
                try:
                    answer = client.post(self._url, json={"query": "w1 w2"})
                    if answer.status_code != 200:
                        self.failed.append(answer.text)
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                self.took_s.append(time.monotonic() - began_s)

    def end(self) -> None:
        self.stopping.set()
        self.join(20)

    @property
    def p99_s(self) -> float:
        return statistics.quantiles(self.took_s, n=100)[98]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_broker_that_is_down_delays_and_loses_nothing(tmp_path: Path, broker: Broker, how: str) -> None:
    program = Program(tmp_path, model=make(tmp_path / "model"), broker=broker, workers=1)
    try:
        program.start()
        before = Stream(program.url, documents=30, seed=1)
        before.start()
        before.join(60)
        # With the same uploads, and the broker there.
        well_asked = Asking(program.url, before.store)
        well_asked.start()
        well = Stream(program.url, documents=60, seed=3, store=before.store, prefix="well")
        well.start()
        time.sleep(DOWN_S)
        well.join(120)
        well_asked.end()
        asking = Asking(program.url, before.store)
        asking.start()

        (broker.kill if how == "killed" else broker.freeze)()
        down = Stream(program.url, documents=60, seed=2, store=before.store, prefix="down")
        down.start()
        time.sleep(DOWN_S)
        down.join(120)
        down_p99_s = asking.p99_s  # of the outage itself: what comes after is an ingestion
        (broker.start if how == "killed" else broker.thaw)()
        drained_s = wait_until_done(program.url, before.store, within_s=DRAINED_WITHIN_S)

        asking.end()
        for stream in (before, well, down):
            if stream.failure is not None:
                raise stream.failure
        found = counts(program.url, before.store)
        print(
            f"{broker.name} {how} for {DOWN_S:g} s: {len(asking.took_s)} questions, {len(asking.failed)} failed, "
            f"p99 {well_asked.p99_s * 1e3:.1f} -> {down_p99_s * 1e3:.1f} ms; uploads {down.statuses}, longest "
            f"{down.longest_s:.2f} s; drained in {drained_s:.1f} s; {found}"
        )
        assert len(asking.failed) <= 0.001 * len(asking.took_s), asking.failed[:3]
        assert set(down.statuses) <= {200, 503}
        assert down.longest_s < LONGEST_S
        assert down_p99_s <= SLOWER * well_asked.p99_s or not IS_SOAK
        wanted = len(before.wanted) + len(well.wanted) + len(down.wanted)
        assert found == {**found, "completed": wanted, "failed": 0, "total": wanted}
    finally:
        program.stop()
    program.dump(before.store)  # fails where a file is there twice, or a passage of no file
