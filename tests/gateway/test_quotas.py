"""Rates over HTTP: who has used up what, in which headers it is said, and that others do not feel it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import openai
import pytest
from starlette.types import Scope

from penstock.config import LimitSettings
from penstock.core.types import Allowance, Principal
from tests.gateway.conftest import client_of
from tests.gateway.world import Live, Scripted, World

CHAT = "/v1/chat/completions"
BODY = {"model": "scripted", "messages": [{"role": "user", "content": "How long is the Rhine?"}]}
MakeWorld = Callable[..., Awaitable[World]]


class ByHeader:
    """The caller is who he says: `tenant/key`, or `tenant/key/5` with five requests a minute of the key's own."""

    def authenticate(self, scope: Scope) -> Principal:
        tenant, key, *own = dict(scope["headers"])[b"authorization"].decode().removeprefix("Bearer ").split("/")
        allowance = Allowance(requests_per_minute=float(own[0])) if own else Allowance()
        return Principal(tenant=tenant, key_id=key, allowance=allowance)


def who(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


async def test_without_limits_nothing_is_said_of_them(world: World) -> None:
    async with client_of(world) as client:
        answer = await client.get("/v1/models")
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


async def test_what_a_tenant_has_used_up_the_next_one_has(make_world: MakeWorld) -> None:
    world = await make_world(authenticator=ByHeader(), limits=LimitSettings(requests_per_minute=60, burst_s=3))
    async with client_of(world) as client:
        statuses = [(await client.get("/v1/models", headers=who(f"acme/{n}"))).status_code for n in range(5)]
        refused = await client.get("/v1/models", headers=who("acme/9"))
        other = await client.get("/v1/models", headers=who("other/1"))

    assert statuses == [200, 200, 200, 429, 429]
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-ratelimit-limit-requests"] == "60"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert other.status_code == 200
    assert other.headers["x-ratelimit-remaining-requests"] == "2"


async def test_a_key_has_its_own_and_its_tenants_limit(make_world: MakeWorld) -> None:
    limits = LimitSettings(requests_per_minute=60, key_requests_per_minute=20, burst_s=6)
    world = await make_world(authenticator=ByHeader(), limits=limits)
    async with client_of(world) as client:

        async def passed(name: str, times: int) -> int:
            answers = [await client.get("/v1/models", headers=who(name)) for _ in range(times)]
            return sum(answer.status_code == 200 for answer in answers)

        assert await passed("acme/settings", 4) == 2
        assert await passed("acme/own/40", 10) == 4  # 6 of the tenant's are used; 4 of 40 a minute in 6 s
        assert await passed("other/one/40", 10) == 4


async def test_what_an_answer_used_is_charged_in_the_end(make_world: MakeWorld) -> None:
    world = await make_world(authenticator=ByHeader(), limits=LimitSettings(tokens_per_minute=6_000, burst_s=10))
    async with client_of(world) as client:
        first = await client.post(CHAT, json=BODY, headers=who("acme/1"))
        estimate = 1_000 - int(first.headers["x-ratelimit-remaining-tokens"])
        second = await client.post(CHAT, json=BODY, headers=who("acme/1"))

    # The engine counted 7 and 3 where the body's length said more: the difference is given back.
    left = 1_000 - 10 - estimate
    assert int(second.headers["x-ratelimit-remaining-tokens"]) == pytest.approx(left, abs=3)


async def test_only_so_many_streams_are_open_at_once(make_live: Callable[..., Awaitable[Live]]) -> None:
    live = await make_live(
        engine=Scripted(words=["word"] * 4, pause_s=0.1), authenticator=ByHeader(), limits=LimitSettings(streams=1)
    )
    sdk = openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="acme/1", max_retries=0)

    async def ask() -> int:
        stream = await sdk.chat.completions.create(stream=True, **BODY)
        return sum([1 async for _ in stream])

    ended = await asyncio.gather(ask(), ask(), return_exceptions=True)
    afterwards = await ask()
    await sdk.close()

    assert sorted(isinstance(one, openai.RateLimitError) for one in ended) == [False, True]
    assert afterwards > 1
