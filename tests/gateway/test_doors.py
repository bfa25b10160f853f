"""Who comes in, who waits, who is turned away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from starlette.types import Scope

from penstock.config import FlowSettings
from penstock.core.types import Principal
from tests.gateway.conftest import client_of
from tests.gateway.world import Live, Scripted, World, request_bytes

CHAT = "/v1/chat/completions"
BODY = {"model": "scripted", "messages": [{"role": "user", "content": "How long is the Rhine?"}]}


async def test_who_could_not_be_served_in_time_is_turned_away_at_once(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    world = await make_world(
        engine=Scripted(words=["word"] * 5, pause_s=0.2), flow=FlowSettings(max_answers=1, wait_s=0.05)
    )
    async with client_of(world) as client:
        first = asyncio.create_task(client.post(CHAT, json=BODY))
        await world.engine.started.wait()
        refused = await client.post(CHAT, json=BODY)
        accepted = await first

    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "overloaded"
    assert int(refused.headers["retry-after"]) >= 1
    assert accepted.status_code == 200


async def test_one_who_waits_gets_the_place_of_one_who_is_done(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(engine=Scripted(words=["word"], pause_s=0.05), flow=FlowSettings(max_answers=1, wait_s=10))
    async with client_of(world) as client:
        answers = await asyncio.gather(*(client.post(CHAT, json=BODY) for _ in range(5)))

    assert [answer.status_code for answer in answers] == [200] * 5
    assert 'penstock_door{door="answer",what="in_flight"} 0.0' in world.metrics.exposition().decode()


async def test_without_admission_all_come_in(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(
        engine=Scripted(words=["word"], pause_s=0.05),
        flow=FlowSettings(admission=False, max_answers=1, wait_s=0.001),
    )
    async with client_of(world) as client:
        answers = await asyncio.gather(*(client.post(CHAT, json=BODY) for _ in range(5)))

    assert [answer.status_code for answer in answers] == [200] * 5


async def test_one_who_leaves_while_waiting_takes_no_place(make_live: Callable[..., Awaitable[Live]]) -> None:
    engine = Scripted(words=["word"] * 3, pause_s=0.2)
    live = await make_live(engine=engine, flow=FlowSettings(max_answers=1, wait_s=10))
    _, busy = await live.connect()
    busy.write(request_bytes(CHAT, json.dumps(BODY).encode()))
    await engine.started.wait()
    _, leaver = await live.connect()
    leaver.write(request_bytes(CHAT, json.dumps(BODY).encode()))
    async with asyncio.timeout(5):
        while 'what="waiting"} 1.0' not in live.world.metrics.exposition().decode():
            await asyncio.sleep(0.01)
        leaver.close()
        while 'what="waiting"} 1.0' in live.world.metrics.exposition().decode():
            await asyncio.sleep(0.01)
        await engine.closed.wait()

    assert len(engine.prompts) == 1
    busy.close()


async def test_searches_have_a_door_of_their_own(make_world: Callable[..., Awaitable[World]]) -> None:
    world = await make_world(
        engine=Scripted(words=["word"], pause_s=0.3), flow=FlowSettings(max_answers=1, wait_s=0.001)
    )
    async with client_of(world) as client:
        busy = asyncio.create_task(client.post(CHAT, json=BODY))
        await world.engine.started.wait()
        found = await client.post(f"/v1/vector_stores/{world.rivers}/search", json={"query": "Rhine"})
        await busy

    assert found.status_code == 200


async def test_a_refusal_does_not_wait_for_the_body(make_live: Callable[..., Awaitable[Live]]) -> None:
    engine = Scripted(words=["word"] * 3, pause_s=0.3)
    live = await make_live(engine=engine, flow=FlowSettings(max_answers=1, wait_s=0.001))
    reader, busy = await live.connect()
    busy.write(request_bytes(CHAT, json.dumps(BODY).encode()))
    await reader.readuntil(b"\r\n\r\n")  # one answer is measured before anything can be predicted
    busy.write(request_bytes(CHAT, json.dumps(BODY).encode()))
    while len(engine.prompts) < 2:
        await asyncio.sleep(0.01)

    reader, sender = await live.connect()
    head, _, _ = request_bytes(CHAT, json.dumps(BODY).encode()).partition(b"{")
    sender.write(head)
    async with asyncio.timeout(2):
        answer = await reader.readuntil(b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: " in answer
    assert len(engine.prompts) == 2
    sender.close()
    busy.close()


async def test_how_urgent_a_request_is_comes_from_its_key_and_from_nothing_else(
    make_world: Callable[..., Awaitable[World]],
) -> None:
    world = await make_world(authenticator=ByHeader())
    urgent = {"x-who": "person", "x-priority": "batch", "priority": "batch"}
    patient = {"x-who": "batch", "x-priority": "interactive", "priority": "interactive"}
    async with client_of(world) as client:
        for headers in (urgent, patient):
            assert (await client.post(CHAT, json=BODY, headers=headers)).status_code == 200

    assert [ctx.priority for ctx in world.engine.contexts] == ["interactive", "batch"]


class ByHeader:
    """Knows two callers, as an authenticator with keys would."""

    def authenticate(self, scope: Scope) -> Principal:
        who = dict(scope["headers"])[b"x-who"]
        return Principal(key_id=who.decode(), priority="batch" if who == b"batch" else "interactive")
