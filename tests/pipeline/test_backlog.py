"""How many files may wait: one more is refused before anything of it is accepted, and taken when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.catalog.attachments import Wanted
from penstock.core.errors import Overloaded
from penstock.pipeline.backlog import LONGEST_RETRY_S, Backlog
from tests.uploads import Parts


async def test_what_would_be_too_many_is_refused_and_taken_when_there_is_room(tmp_path: Path) -> None:
    uploads = Parts(folder=tmp_path, max_backlog=3)
    await uploads.start()
    try:
        store = await uploads.store()
        files = [await uploads.upload(f"Text {number}.", f"{number}.txt") for number in range(6)]
        for file in files[:2]:
            await uploads.attach(store, file)

        with pytest.raises(Overloaded, match="no more than 3 may") as refused:
            await uploads.attaching.attach_batch(store, [Wanted(file_id=file.id) for file in files[2:4]])
        assert 0 < refused.value.retry_after_s <= LONGEST_RETRY_S
        assert set(await uploads.states(store)) == {"0.txt", "1.txt"}
        await uploads.attach(store, files[2])
        with pytest.raises(Overloaded):
            await uploads.attach(store, files[3])
        assert await uploads.count_jobs() == 3

        await uploads.work_off()
        await uploads.attach(store, files[3])
        await uploads.work_off()
        assert set((await uploads.states(store)).values()) == {"completed"}
        assert len(await uploads.states(store)) == 4
    finally:
        await uploads.stop()


async def test_who_is_refused_hears_when_there_should_be_room(tmp_path: Path) -> None:
    uploads = Parts(folder=tmp_path)
    await uploads.start()
    now_s = 0.0
    backlog = Backlog(jobs=uploads.jobs, most=10, clock_s=lambda: now_s)
    try:
        store = await uploads.store()
        for number in range(10):
            await uploads.attach(store, await uploads.upload(f"Text {number}.", f"{number}.txt"))
        with pytest.raises(Overloaded):
            await backlog.check(1)
        await uploads.step()
        left = await uploads.count_jobs()
        assert left < 10

        now_s = 5.0
        with pytest.raises(Overloaded) as refused:
            await backlog.check(30)

        leaving_a_s = (10 - left) / 5.0
        assert refused.value.retry_after_s == pytest.approx((left + 30 - 10) / leaving_a_s)
    finally:
        await uploads.stop()
