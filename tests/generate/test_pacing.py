import asyncio
import itertools
import time

import pytest

from penstock.core.context import start_context
from penstock.core.errors import Overloaded
from penstock.core.types import Principal
from penstock.generate.faults import retry_after_s
from penstock.generate.pacing import Key, KeyRing, duration_s


class HandClock:
    def __init__(self) -> None:
        self.time_s = 100.0

    def now_s(self) -> float:
        return self.time_s


async def test_a_key_whose_requests_are_used_up_rests_until_the_provider_resets_it() -> None:
    clock = HandClock()
    ring = KeyRing(keys=("one", "two"), clock=clock)
    ctx = start_context(principal=Principal(), timeout_s=5.0, clock=clock)
    first = await ring.take(ctx)
    ring.heard(first, 200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"})

    taken = [await ring.take(ctx) for _ in range(3)]
    clock.time_s += 20.0
    later = {id(await ring.take(start_context(principal=Principal(), timeout_s=5.0, clock=clock))) for _ in range(2)}

    assert first not in taken
    assert id(first) in later


async def test_what_is_left_is_counted_down_between_answers() -> None:
    clock = HandClock()
    ring = KeyRing(keys=("one",), clock=clock)
    ctx = start_context(principal=Principal(), timeout_s=5.0, clock=clock)
    ring.heard(await ring.take(ctx), 200, {"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "1m"})
    await ring.take(ctx)
    await ring.take(ctx)

    with pytest.raises(Overloaded) as refused:
        await ring.take(ctx)

    assert refused.value.retry_after_s == 60.0


async def test_a_request_waits_for_its_key_when_there_is_time() -> None:
    ring = KeyRing(keys=("one",))
    ctx = start_context(principal=Principal(), timeout_s=5.0)
    key = await ring.take(ctx)
    ring.heard(key, 429, {"Retry-After": "0"})

    waiting = asyncio.create_task(ring.take(ctx))
    await asyncio.sleep(0)

    assert ring.waiting == 1
    assert await waiting is key
    assert ring.waiting == 0


@pytest.mark.parametrize(("text", "seconds"), [("6m0s", 360.0), ("1.5s", 1.5), ("20ms", 0.02), ("12", 12.0), ("", 0.0)])
def test_durations_as_providers_write_them(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert retry_after_s({"Retry-After-Ms": "250"}) == 0.25
    assert retry_after_s({"Retry-After": "3"}) == 3.0
    assert retry_after_s({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0.0
    assert retry_after_s({"Retry-After": "soon"}) is None
    assert retry_after_s({}) is None


def test_a_key_does_not_show_itself() -> None:
    assert "secret" not in repr(Key("secret"))


async def test_waiting_requests_go_one_after_another_in_the_order_they_came() -> None:
    ring = KeyRing(keys=("one",))
    ctx = start_context(principal=Principal(), timeout_s=5.0)
    ring.heard(await ring.take(ctx), 429, {"Retry-After-Ms": "50"})
    gone: list[tuple[int, float]] = []

    async def go(number: int) -> None:
        await ring.take(ctx)
        gone.append((number, time.monotonic()))

    await asyncio.gather(*(go(number) for number in range(4)))

    assert [number for number, _ in gone] == [0, 1, 2, 3]
    # They keep the distance that the refusal taught, instead of coming back as one wave.
    assert all(later[1] - earlier[1] > 0.03 for earlier, later in itertools.pairwise(gone))


async def test_the_distance_shrinks_with_answers_until_there_is_none() -> None:
    clock = HandClock()
    ring = KeyRing(keys=("one",), clock=clock)
    ctx = start_context(principal=Principal(), timeout_s=5.0, clock=clock)
    key = await ring.take(ctx)
    ring.heard(key, 429, {"Retry-After": "1"})

    for _ in range(20):
        ring.heard(key, 200, {})
    clock.time_s += 1.0

    assert await ring.take(ctx) is await ring.take(ctx)


async def test_a_request_larger_than_what_is_left_of_the_tokens_takes_another_key() -> None:
    clock = HandClock()
    ring = KeyRing(keys=("one", "two"), clock=clock)
    ctx = start_context(principal=Principal(), timeout_s=5.0, clock=clock)
    first = await ring.take(ctx, tokens=100)
    ring.heard(first, 200, {"x-ratelimit-remaining-tokens": "500", "x-ratelimit-reset-tokens": "30s"})

    large = [await ring.take(ctx, tokens=800) for _ in range(2)]
    small = {id(await ring.take(ctx, tokens=200)) for _ in range(2)}
    with_nothing_left = [await ring.take(ctx, tokens=400) for _ in range(2)]

    assert first not in large
    assert id(first) in small
    assert first not in with_nothing_left


async def test_a_key_that_is_refused_rests_and_the_others_go_on() -> None:
    clock = HandClock()
    ring = KeyRing(keys=("revoked", "valid"), clock=clock)
    ctx = start_context(principal=Principal(), timeout_s=5.0, clock=clock)
    revoked = await ring.take(ctx)
    ring.heard(revoked, 401, {})

    assert revoked not in [await ring.take(ctx) for _ in range(4)]
    assert ring.has_ready
    ring.replace(("new",))
    assert (await ring.take(ctx)).headers == {"Authorization": "Bearer new"}


async def test_who_leaves_the_queue_holds_nobody_up() -> None:
    ring = KeyRing(keys=("one",))
    ctx = start_context(principal=Principal(), timeout_s=5.0)
    ring.heard(await ring.take(ctx), 429, {"Retry-After-Ms": "60"})
    impatient = [asyncio.create_task(ring.take(ctx)) for _ in range(3)]
    patient = asyncio.create_task(ring.take(ctx))
    await asyncio.sleep(0)
    for task in impatient:
        task.cancel()

    assert await patient
    assert ring.waiting == 0
