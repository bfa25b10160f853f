"""One suite for all queues: nothing that was put is lost, and whatever is leased has one holder at a time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from penstock.catalog.database import Database
from penstock.config import QueueSettings
from penstock.core.errors import StageUnavailable
from penstock.core.messages import Lease, QueueMessage, Verdict
from penstock.core.ports import Queue
from penstock.queue.build import make_broker
from penstock.queue.sqlite import SqliteQueue
from tests.brokers import BROKERS, Broker

LEASE_S = 1.0
Connect = Callable[[], Awaitable[Queue]]


@pytest.fixture(scope="module", params=["sqlite", *BROKERS])
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


def settings(broker: Broker, name: str) -> QueueSettings:
    return QueueSettings(backend=broker.name, url_env="URL", name=name, lease_s=LEASE_S)  # type: ignore[arg-type]


@pytest.fixture
async def connect(broker: Broker | None, tmp_path: Path) -> AsyncIterator[Connect]:
    """Each call is another process's view of one queue."""
    name = f"q{secrets.token_hex(4)}"
    queues: list[Queue] = []
    databases: list[Database] = []

    async def connect() -> Queue:
        if broker is None:
            database = Database(path=tmp_path / "queue.db")
            await database.start()
            databases.append(database)
            queue: Queue = SqliteQueue(database=database, lease_s=LEASE_S)
        else:
            queue = make_broker(settings=settings(broker, name), environ={"URL": broker.url})
        await queue.start()
        queues.append(queue)
        return queue

    yield connect
    for queue in queues:
        await queue.stop()
    for database in databases:
        await database.stop()


def message(name: str) -> QueueMessage:
    return QueueMessage(id=f"m-{name}", body=f"\x00body of {name}".encode())


async def take(queue: Queue, count: int, *, within_s: float = 10.0) -> list[Lease]:
    """That many leases, however they come."""
    leases: list[Lease] = []
    async with asyncio.timeout(within_s):
        while len(leases) < count:
            leases += await queue.lease(count - len(leases), wait_s=1.0)
    return leases


def ids(leases: list[Lease]) -> list[str]:
    return sorted(lease.message.id for lease in leases)


async def test_what_is_put_is_leased_whole_and_done_with_when_acked(connect: Connect) -> None:
    queue = await connect()
    await queue.put([message(str(number)) for number in range(100)])

    leases = await take(queue, 100)

    assert {lease.message.id: lease.message.body for lease in leases} == {
        message(str(number)).id: message(str(number)).body for number in range(100)
    }
    assert {lease.attempt for lease in leases} == {1}
    await queue.settle([Verdict(lease=lease) for lease in leases])
    assert await queue.lease(1, wait_s=1.5 * LEASE_S) == []
    assert await queue.depth() == 0


async def test_two_holders_never_have_the_same_message(connect: Connect) -> None:
    one, other = await connect(), await connect()
    await one.put([message(str(number)) for number in range(40)])

    taken = [*await take(one, 20), *await take(other, 20)]

    assert len(set(ids(taken))) == 40


async def test_a_message_waits_for_whoever_comes_later(connect: Connect) -> None:
    queue, late = await connect(), await connect()
    assert await late.lease(1, wait_s=0.1) == []
    waiting = asyncio.create_task(late.lease(1, wait_s=5.0))
    await asyncio.sleep(0.1)

    await queue.put([message("a")])

    assert ids(await waiting) == ["m-a"]


async def test_a_message_that_comes_is_not_kept_back_for_others_to_come(connect: Connect) -> None:
    queue = await connect()
    assert await queue.lease(1, wait_s=0.1) == []
    waiting = [asyncio.create_task(queue.lease(64, wait_s=8.0)) for _ in range(2)]
    await asyncio.sleep(0.3)

    for name in ("a", "b"):
        await queue.put([message(name)])
        async with asyncio.timeout(2.0):
            done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (leases,) = (task.result() for task in done)
        assert ids(leases) == [f"m-{name}"]
        await queue.settle([Verdict(lease=lease) for lease in leases])
        waiting = list(rest)


async def test_a_holder_that_dies_loses_its_messages_to_another(connect: Connect) -> None:
    dying, other = await connect(), await connect()
    await dying.put([message("a")])
    (first,) = await take(dying, 1)
    await dying.stop()

    (second,) = await take(other, 1, within_s=10 * LEASE_S)

    assert (first.attempt, second.attempt) == (1, 2)
    assert second.message == first.message


async def test_a_holder_that_is_heard_of_keeps_its_messages(connect: Connect) -> None:
    holder, other = await connect(), await connect()
    await holder.put([message("a")])
    leases = await take(holder, 1)

    for _ in range(10):
        await holder.extend(leases)
        assert await other.lease(1, wait_s=LEASE_S / 4) == []
    await holder.settle([Verdict(lease=lease) for lease in leases])

    assert await other.lease(1, wait_s=1.5 * LEASE_S) == []


async def test_who_leaves_while_it_asks_costs_nobody_anything(connect: Connect) -> None:
    queue = await connect()
    await queue.put([message(str(number)) for number in range(20)])
    (held,) = await take(queue, 1)

    for pause_s in [0.0, 0.0005, 0.001, 0.002, 0.004] * 4:
        asking = asyncio.create_task(queue.lease(1, wait_s=0.0))
        putting = asyncio.create_task(queue.put([message("held")]))
        await asyncio.sleep(pause_s)
        left = [task.cancel() for task in (asking, putting)]
        answers = await asyncio.gather(asking, putting, return_exceptions=True)
        assert not [answer for answer in answers if isinstance(answer, StageUnavailable)], left
        if not isinstance(answers[0], BaseException):
            await queue.settle([Verdict(lease=lease, kind="retry") for lease in answers[0]])

    await queue.settle([Verdict(lease=held, kind="ack")])
    others = [lease for lease in await take(queue, 19) if lease.message.id != "m-held"]
    assert held.message.id not in {lease.message.id for lease in others}, "it was still held"
    assert await queue.dead(10) == []


async def test_a_retried_message_comes_again_and_not_before_its_time(connect: Connect) -> None:
    queue = await connect()
    await queue.put([message("soon"), message("late")])
    leases = {lease.message.id: lease for lease in await take(queue, 2)}

    await queue.settle(
        [
            Verdict(lease=leases["m-late"], kind="retry", after_s=1.0),
            Verdict(lease=leases["m-soon"], kind="retry"),
        ]
    )

    (soon,) = await take(queue, 1)
    assert (soon.message.id, soon.attempt) == ("m-soon", 2)
    await queue.settle([Verdict(lease=soon)])
    assert await queue.lease(1, wait_s=0.3) == []
    (late,) = await take(queue, 1)
    assert (late.message.id, late.attempt) == ("m-late", 2)


async def test_a_buried_message_can_be_looked_at_and_replayed(connect: Connect) -> None:
    queue, desk = await connect(), await connect()
    await queue.put([message("bad"), message("worse"), message("good")])
    verdicts = {
        "m-bad": {"kind": "bury", "reason": "It is bad."},
        "m-worse": {"kind": "bury", "reason": "It is worse: é."},
        "m-good": {},
    }
    for lease in await take(queue, 3):
        await queue.settle([Verdict(lease=lease, **verdicts[lease.message.id])])  # type: ignore[arg-type]

    assert await queue.lease(1, wait_s=1.2 * LEASE_S) == []
    for _ in range(2):  # looking changes nothing
        letters = {letter.id: letter for letter in await desk.dead(10)}
        assert {name: letter.reason for name, letter in letters.items()} == {
            "m-bad": "It is bad.",
            "m-worse": "It is worse: é.",
        }
    assert letters["m-bad"].body == message("bad").body
    assert letters["m-bad"].attempts == 1

    assert await desk.replay(["m-worse", "m-unknown"]) == 1

    (again,) = await take(queue, 1)
    assert (again.message, again.attempt) == (message("worse"), 1)
    await queue.settle([Verdict(lease=again)])
    assert [letter.id for letter in await desk.dead(10)] == ["m-bad"]


async def test_a_lease_that_has_run_out_settles_nothing(connect: Connect) -> None:
    late, other = await connect(), await connect()
    await late.put([message("a")])
    (lease,) = await take(late, 1)
    await late.stop()
    (mine,) = await take(other, 1, within_s=10 * LEASE_S)
    again = await connect()

    await again.settle([Verdict(lease=lease)])

    await other.settle([Verdict(lease=mine, kind="retry")])
    assert ids(await take(other, 1)) == ["m-a"]


async def test_messages_are_counted(connect: Connect) -> None:
    queue = await connect()
    await queue.put([message(str(number)) for number in range(5)])
    (lease, *_) = await take(queue, 2)

    await queue.settle([Verdict(lease=lease, kind="retry", after_s=60.0)])

    async with asyncio.timeout(5):
        while await queue.depth() != 5:
            await asyncio.sleep(0.05)


async def test_what_was_confirmed_outlives_a_kill_and_calls_fail_in_time_while_it_is_down(
    broker: Broker | None, connect: Connect
) -> None:
    if broker is None:
        pytest.skip("a file has no server to kill; tests/catalog/test_crash_points.py kills its process")
    queue = await connect()
    await queue.put([message(str(number)) for number in range(50)])
    leases = await take(queue, 10)
    await queue.settle([Verdict(lease=lease, kind="bury", reason="bad") for lease in leases])
    broker.kill()

    for call in (queue.put([message("x")]), queue.lease(1, wait_s=0.1), queue.depth()):
        async with asyncio.timeout(12):
            with pytest.raises(StageUnavailable):
                await call
    broker.start()

    rest = []
    async with asyncio.timeout(30):
        while len(rest) < 40:
            try:
                rest += await queue.lease(50, wait_s=0.5)
            except StageUnavailable:
                await asyncio.sleep(0.1)
    assert len({*ids(rest), *ids(leases)}) == 50
    assert len(await queue.dead(100)) == 10
