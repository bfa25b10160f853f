from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from penstock.core.errors import DeadlineExceeded, Overloaded, StageUnavailable, TooLarge
from penstock.flow.batcher import Batcher, BatchReport
from tests.flow.callers import caller
from tests.simulation.loop import VirtualLoop, virtual


class Model:
    """Doubles numbers, `run_s` a batch, and keeps what it was given."""

    def __init__(self, *, run_s: float = 1.0, poison: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.finished = 0
        self._run_s, self._poison = run_s, poison

    async def run(self, items: Sequence[int]) -> list[int | BaseException]:
        self.batches.append(list(items))
        await asyncio.sleep(self._run_s)
        self.finished += 1
        if self._poison in items:
            raise ValueError(f"cannot take {self._poison}")
        return [2 * item for item in items]


@virtual
async def test_a_lone_item_goes_at_once_and_company_gathers_while_the_worker_is_busy(loop: VirtualLoop) -> None:
    model = Model()
    batcher = Batcher(name="b", run=model.run, clock=loop)
    first = asyncio.create_task(batcher.submit(1, caller(loop)))
    await asyncio.sleep(0.1)
    others = [asyncio.create_task(batcher.submit(n, caller(loop))) for n in (2, 3, 4)]
    assert [await task for task in (first, *others)] == [2, 4, 6, 8]
    assert model.batches == [[1], [2, 3, 4]]


@virtual
async def test_what_is_submitted_in_one_turn_goes_together(loop: VirtualLoop) -> None:
    model = Model()
    batcher = Batcher(name="b", run=model.run, clock=loop)
    assert await asyncio.gather(*(batcher.submit(n, caller(loop)) for n in range(5))) == [0, 2, 4, 6, 8]
    assert model.batches == [[0, 1, 2, 3, 4]]


@virtual
async def test_of_128_the_one_that_raises_the_cancelled_and_the_expired_touch_nobody(loop: VirtualLoop) -> None:
    model = Model(poison=13)
    batcher = Batcher(name="b", run=model.run, clock=loop)
    plug = asyncio.create_task(batcher.submit(1000, caller(loop)))
    await asyncio.sleep(0.1)
    timeouts = [0.5 if n == 50 else 100.0 for n in range(128)]
    tasks = [
        asyncio.create_task(batcher.submit(n, caller(loop, timeout_s=timeout_s)))
        for n, timeout_s in enumerate(timeouts)
    ]
    await asyncio.sleep(0.1)
    tasks[77].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await plug
    assert sum(result == 2 * n for n, result in enumerate(results)) == 125
    assert isinstance(results[13], ValueError)
    assert isinstance(results[50], DeadlineExceeded)
    assert isinstance(results[77], asyncio.CancelledError)
    assert not {50, 77} & {item for batch in model.batches for item in batch}
    assert len(model.batches) <= 2 + 2 * 8


@virtual
async def test_an_exception_in_an_items_place_is_its_own(loop: VirtualLoop) -> None:
    async def run(items: Sequence[int]) -> list[int | BaseException]:
        return [KeyError(item) if item == 1 else item for item in items]

    batcher = Batcher(name="b", run=run, clock=loop)
    results = await asyncio.gather(*(batcher.submit(n, caller(loop)) for n in range(3)), return_exceptions=True)
    assert results[0] == 0
    assert isinstance(results[1], KeyError)
    assert results[2] == 2


@virtual
async def test_a_target_that_is_down_is_not_asked_for_each_half(loop: VirtualLoop) -> None:
    runs = []

    async def run(items: Sequence[int]) -> list[int | BaseException]:
        runs.append(len(items))
        raise StageUnavailable("model", "down")

    batcher = Batcher(name="b", run=run, clock=loop)
    results = await asyncio.gather(*(batcher.submit(n, caller(loop)) for n in range(16)), return_exceptions=True)
    assert all(isinstance(result, StageUnavailable) for result in results)
    assert runs == [16]


@virtual
async def test_a_run_that_fails_whatever_it_gets_is_tried_a_bounded_number_of_times(loop: VirtualLoop) -> None:
    runs = []

    async def run(items: Sequence[int]) -> list[int | BaseException]:
        runs.append(len(items))
        raise ValueError

    batcher = Batcher(name="b", run=run, clock=loop)
    await asyncio.gather(*(batcher.submit(n, caller(loop)) for n in range(256)), return_exceptions=True)
    assert len(runs) <= 1 + 9 * 9


@virtual
async def test_a_wrong_number_of_results_is_an_error_of_the_stage(loop: VirtualLoop) -> None:
    async def run(items: Sequence[int]) -> list[int | BaseException]:
        return list(items[1:])

    batcher = Batcher(name="b", run=run, clock=loop)
    with pytest.raises(StageUnavailable, match="0 results for 1"):
        await batcher.submit(1, caller(loop))


@virtual
async def test_a_cancellation_inside_the_run_is_an_error_not_a_cancelled_caller(loop: VirtualLoop) -> None:
    async def run(items: Sequence[int]) -> list[int | BaseException]:
        raise asyncio.CancelledError

    batcher = Batcher(name="b", run=run, clock=loop)
    with pytest.raises(RuntimeError, match="cancelled from inside"):
        await batcher.submit(1, caller(loop))


@virtual
async def test_a_batch_keeps_to_its_padded_size_and_to_like_lengths(loop: VirtualLoop) -> None:
    model, reports = Model(), list[BatchReport]()
    batcher = Batcher(
        name="b", run=model.run, size_of=lambda n: n, max_size=128, max_padding=0.3, observe=reports.append, clock=loop
    )
    sizes = [100, 8, 9, 60, 10, 63, 12, 200, 61]
    await asyncio.gather(*(batcher.submit(n, caller(loop, timeout_s=100)) for n in sizes))
    assert sorted(item for batch in model.batches for item in batch) == sorted(sizes)
    assert [100] in model.batches
    assert [200] in model.batches  # over the budget: alone
    assert [8, 9, 10, 12] in model.batches
    assert all(report.padding <= 0.3 for report in reports)
    assert all(len(batch) * max(batch) <= 128 or len(batch) == 1 for batch in model.batches)


@virtual
async def test_urgent_lanes_go_first_and_a_patient_one_is_not_starved(loop: VirtualLoop) -> None:
    model = Model(run_s=0.1)
    batcher = Batcher(name="b", run=model.run, max_items=1, max_wait_s=0.5, clock=loop)
    tasks = [asyncio.create_task(batcher.submit(-1, caller(loop, priority="ingestion")))]
    tasks += [asyncio.create_task(batcher.submit(n, caller(loop))) for n in range(20)]
    await asyncio.gather(*tasks)
    order = [batch[0] for batch in model.batches]
    assert order[0] == 0
    assert 5 <= order.index(-1) <= 13


@virtual
async def test_with_two_workers_one_is_kept_for_interactive_batches(loop: VirtualLoop) -> None:
    model = Model()
    batcher = Batcher(name="b", run=model.run, max_items=1, workers=2, clock=loop)
    patient = [asyncio.create_task(batcher.submit(n, caller(loop, priority="batch"))) for n in range(3)]
    await asyncio.sleep(0.5)
    assert batcher.running == 1
    assert await batcher.submit(9, caller(loop)) == 18
    assert loop.time() < 1001.6
    await asyncio.gather(*patient)


@virtual
async def test_a_full_lane_refuses_at_once_and_another_lane_does_not_care(loop: VirtualLoop) -> None:
    batcher = Batcher(name="b", run=Model().run, max_waiting=2, clock=loop)
    patient = [asyncio.create_task(batcher.submit(n, caller(loop, priority="batch"))) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await batcher.submit(3, caller(loop, priority="batch"))
    assert refused.value.retry_after_s >= 1
    assert await batcher.submit(4, caller(loop)) == 8
    await asyncio.gather(*patient)


@virtual
async def test_an_item_that_is_too_large_never_enters(loop: VirtualLoop) -> None:
    batcher = Batcher(name="b", run=Model().run, size_of=lambda n: n, max_item_size=10, clock=loop)
    with pytest.raises(TooLarge):
        await batcher.submit(11, caller(loop))
    assert batcher.waiting == 0


@virtual
async def test_a_caller_hears_at_its_deadline_while_its_batch_still_runs(loop: VirtualLoop) -> None:
    model = Model(run_s=5.0)
    batcher = Batcher(name="b", run=model.run, clock=loop)
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(1, caller(loop, timeout_s=0.5))
    assert loop.time() == pytest.approx(1000.5)
    await asyncio.sleep(0.001)
    assert batcher.running == 0
    assert model.finished == 0


@virtual
async def test_a_batch_is_cancelled_when_the_last_of_its_callers_leaves(loop: VirtualLoop) -> None:
    model = Model(run_s=5.0)
    batcher = Batcher(name="b", run=model.run, clock=loop)
    tasks = [asyncio.create_task(batcher.submit(n, caller(loop))) for n in range(2)]
    await asyncio.sleep(0.1)
    tasks[0].cancel()
    await asyncio.sleep(0.1)
    assert batcher.running == 1
    tasks[1].cancel()
    await asyncio.sleep(0.1)
    assert (batcher.running, model.finished) == (0, 0)


@virtual
async def test_submit_many_keeps_order_and_goes_in_parts(loop: VirtualLoop) -> None:
    model = Model(run_s=0.01)
    batcher = Batcher(name="b", run=model.run, max_waiting=40, clock=loop)
    assert await batcher.submit_many(list(range(35)), caller(loop)) == [2 * n for n in range(35)]
    assert max(len(batch) for batch in model.batches) == 10


@virtual
async def test_submit_many_fails_as_one_and_leaves_nothing_behind(loop: VirtualLoop) -> None:
    batcher = Batcher(name="b", run=Model(poison=3).run, clock=loop)
    with pytest.raises(ValueError, match="cannot take 3"):
        await batcher.submit_many([1, 2, 3, 4], caller(loop))
    await asyncio.sleep(10)
    assert (batcher.waiting, batcher.running) == (0, 0)


@virtual
async def test_stop_finishes_what_waits_and_refuses_what_comes(loop: VirtualLoop) -> None:
    batcher = Batcher(name="b", run=Model().run, max_items=1, clock=loop)
    tasks = [asyncio.create_task(batcher.submit(n, caller(loop))) for n in range(3)]
    await asyncio.sleep(0.1)
    stopping = asyncio.create_task(batcher.stop())
    await asyncio.sleep(0)
    with pytest.raises(StageUnavailable):
        await batcher.submit(9, caller(loop))
    await stopping
    assert [await task for task in tasks] == [0, 2, 4]


@virtual
async def test_stop_that_is_cut_short_leaves_no_caller_waiting(loop: VirtualLoop) -> None:
    batcher = Batcher(name="b", run=Model(run_s=100.0).run, max_items=1, clock=loop)
    tasks = [asyncio.create_task(batcher.submit(n, caller(loop, timeout_s=1000))) for n in range(3)]
    await asyncio.sleep(0.1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await batcher.stop()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, StageUnavailable) for result in results)


@virtual
async def test_callers_who_come_and_leave_do_not_pile_up(loop: VirtualLoop) -> None:
    batcher = Batcher(name="b", run=Model(run_s=1e6).run, size_of=lambda n: n, clock=loop)
    stay = [asyncio.create_task(batcher.submit(1, caller(loop, timeout_s=1e7))) for _ in range(2)]
    await asyncio.sleep(0.1)
    keep = asyncio.create_task(batcher.submit(1, caller(loop, timeout_s=1e7)))
    for _ in range(1000):
        task = asyncio.create_task(batcher.submit(64, caller(loop, timeout_s=1e7)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
    lane = batcher._lanes["interactive"]
    assert len(lane.order) + sum(len(shelf) for shelf in lane.shelves.values()) < 300
    for task in (*stay, keep):
        task.cancel()
    await asyncio.sleep(0.1)


@virtual
async def test_a_report_tells_size_wait_and_padding(loop: VirtualLoop) -> None:
    reports: list[BatchReport] = []
    batcher = Batcher(name="b", run=Model().run, size_of=lambda n: n, observe=reports.append, clock=loop)
    first = asyncio.create_task(batcher.submit(8, caller(loop)))
    await asyncio.sleep(0.4)
    await asyncio.gather(first, *(batcher.submit(n, caller(loop, priority="batch")) for n in (9, 12)))
    assert [report.items for report in reports] == [1, 2]
    second = reports[1]
    assert (second.priority, second.size, second.failed) == ("batch", 21, 0)
    assert second.padding == pytest.approx(1 - 21 / 24)
    assert second.longest_wait_s == pytest.approx(0.6)
    assert second.run_s == pytest.approx(1.0)
