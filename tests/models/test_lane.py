"""Who goes next, who is dropped. Workers are held by events, so nothing here depends on time."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from penstock.core.context import Context, Priority
from penstock.core.errors import DeadlineExceeded, StageUnavailable
from penstock.core.types import Principal
from penstock.models.lane import Lane


class HandClock:
    def __init__(self) -> None:
        self.now = 0.0

    def now_s(self) -> float:
        return self.now


def context(priority: Priority = "interactive", *, clock: HandClock | None = None) -> Context:
    return Context(principal=Principal(), deadline_s=10.0, priority=priority, clock=clock or HandClock())


@pytest.fixture
def lane():
    lane = Lane(threads=1, name="test")
    lane.start()
    yield lane
    lane.stop()


class Held:
    """A lane whose only thread is busy until `release`."""

    def __init__(self, lane: Lane) -> None:
        self._gate = threading.Event()
        running = threading.Event()

        def hold() -> None:
            running.set()
            self._gate.wait(10)

        self.future: Future[None] = lane.submit(hold, context())
        assert running.wait(10)

    def release(self) -> None:
        self._gate.set()
        self.future.result(10)


def test_a_question_goes_before_the_rest_of_a_bulk_call(lane):
    held = Held(lane)
    done: list[str] = []
    futures = [lane.submit(lambda n=n: done.append(f"bulk {n}"), context("ingestion")) for n in range(3)]
    futures.append(lane.submit(lambda: done.append("batch"), context("batch")))
    futures.append(lane.submit(lambda: done.append("question"), context("interactive")))
    held.release()
    for future in futures:
        future.result(10)
    assert done == ["question", "batch", "bulk 0", "bulk 1", "bulk 2"]


def test_work_whose_caller_left_is_dropped(lane):
    held = Held(lane)
    done: list[int] = []
    first, second = (lane.submit(lambda n=n: done.append(n), context()) for n in (1, 2))
    assert first.cancel()
    held.release()
    second.result(10)
    assert done == [2]


def test_work_whose_time_is_up_is_not_started(lane):
    clock = HandClock()
    held = Held(lane)
    late = lane.submit(lambda: pytest.fail("ran"), context(clock=clock))
    clock.now = 11.0
    held.release()
    with pytest.raises(DeadlineExceeded) as caught:
        late.result(10)
    assert caught.value.stage == "embed"


def test_a_fault_reaches_its_caller_and_no_neighbour(lane):
    def fail() -> None:
        raise ValueError("mine")

    bad, good = lane.submit(fail, context()), lane.submit(lambda: 5, context())
    with pytest.raises(ValueError, match="mine"):
        bad.result(10)
    assert good.result(10) == 5


def test_stopping_refuses_what_waits_and_what_comes():
    lane = Lane(threads=1, name="test")
    lane.start()
    held = Held(lane)
    waiting = lane.submit(lambda: pytest.fail("ran"), context())
    stopper = threading.Thread(target=lane.stop)
    stopper.start()
    while lane._executor is not None:
        threading.Event().wait(0.001)
    held.release()
    stopper.join(10)
    with pytest.raises(StageUnavailable):
        waiting.result(10)
    with pytest.raises(StageUnavailable):
        lane.submit(lambda: None, context())
