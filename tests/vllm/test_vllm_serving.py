"""What real vLLM shows of our streams, aborts, affinity, and of the loss of a replica."""

import asyncio
import itertools
import time
from contextlib import AsyncExitStack, aclosing

import pytest

from benchmarks.engine_loss import pool_of, under_load
from penstock.core.context import Context, start_context
from penstock.core.errors import InvalidRequest
from penstock.core.types import Message, Principal, Prompt, Sampling
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.replica import Engine
from tests.vllm.server import MODEL, VllmServer

pytestmark = pytest.mark.timeout(900)


def context() -> Context:
    return start_context(principal=Principal(), timeout_s=60.0)


def prompt_of(text: str, **sampling: object) -> Prompt:
    return Prompt(
        question=text, passages=(), messages=(Message(role="user", content=text),), sampling=Sampling(**sampling)
    )


async def answer(engine: Engine, prompt: Prompt) -> str:
    return "".join([delta.text async for delta in engine.generate(prompt, context())])


async def test_tokens_arrive_as_they_are_made(replicas: list[VllmServer]) -> None:
    engine = OpenAIGenerator(model=MODEL, url=replicas[0].url)
    await engine.start()

    deltas = [delta async for delta in engine.generate(prompt_of("Tell.", max_tokens=40, seed=3), context())]

    assert len([delta for delta in deltas if delta.text]) > 5
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.output <= 40
    await engine.stop()


async def test_what_vllm_refuses_is_the_callers_to_mend(replicas: list[VllmServer]) -> None:
    engine = OpenAIGenerator(model=MODEL, url=replicas[0].url)
    await engine.start()

    with pytest.raises(InvalidRequest, match="4096"):
        await answer(engine, prompt_of("word " * 6000, max_tokens=5))

    await engine.stop()


async def test_leaving_takes_the_sequence_out_of_vllm(replicas: list[VllmServer]) -> None:
    server = replicas[0]
    engine = OpenAIGenerator(model=MODEL, url=server.url)
    await engine.start()
    async with AsyncExitStack() as streams:
        for seed in range(16):
            deltas = engine.generate(prompt_of("Go on.", max_tokens=3500, temperature=1.0, seed=seed), context())
            await streams.enter_async_context(aclosing(deltas))
            await anext(deltas)
        async with asyncio.timeout(20):
            while await asyncio.to_thread(server.metric, "num_requests_running") < 4:
                await asyncio.sleep(0.05)

    began_s = time.monotonic()
    async with asyncio.timeout(10):
        while await asyncio.to_thread(server.metric, "num_requests_running") > 0:
            await asyncio.sleep(0.05)
    print(f"all sequences gone {time.monotonic() - began_s:.2f} s after the streams were closed")
    made = await asyncio.to_thread(server.metric, "generation_tokens_total")
    await asyncio.sleep(1.0)

    assert await asyncio.to_thread(server.metric, "generation_tokens_total") == made
    await engine.stop()


async def test_affinity_finds_more_in_vllms_prefix_cache_than_round_robin(replicas: list[VllmServer]) -> None:
    def asked(run: str) -> list[Prompt]:
        heads = [f"{run} {name}. " + f"The {name} of the valley keeps its water in a basin. " * 25 for name in "ABCDE"]
        return [prompt_of(f"{head} Question {turn}?", max_tokens=2) for turn in range(4) for head in heads]

    async def share_found(engines: list[Engine], run: str) -> float:
        before = [
            (server.metric("prefix_cache_hits_total"), server.metric("prefix_cache_queries_total"))
            for server in replicas
        ]
        for engine, prompt in zip(itertools.cycle(engines), asked(run), strict=False):
            await answer(engine, prompt)
        hits = sum(
            server.metric("prefix_cache_hits_total") - old for server, (old, _) in zip(replicas, before, strict=True)
        )
        queries = sum(
            server.metric("prefix_cache_queries_total") - old for server, (_, old) in zip(replicas, before, strict=True)
        )
        return hits / queries

    async with pool_of([server.url for server in replicas], model=MODEL) as (pool, watched):
        # Five beginnings over two servers: in turn, each comes to both.
        in_turn = await share_found([*watched], "round robin")
        affine = await share_found([pool], "affinity")

        print(f"found in the prefix cache: {in_turn:.2f} in turn, {affine:.2f} with affinity")
        print(f"the pool's own estimate {pool.prefixes.hit_rate:.2f}, shares {[one.asked for one in watched]}")
        assert affine > in_turn + 0.1
        assert pool.prefixes.hit_rate == pytest.approx(affine, abs=0.15)


async def test_a_killed_replica_costs_only_what_was_with_it(replicas: list[VllmServer]) -> None:
    async with pool_of([server.url for server in replicas], model=MODEL) as (pool, watched):
        loss = await under_load(
            pool,
            watched[0],
            lambda: asyncio.to_thread(replicas[0].kill),
            rate=8.0,
            seconds=30.0,
            strike_at_s=8.0,
            timeout_s=30.0,
        )

        print(loss)
        assert loss.success >= 0.995, loss.errors
        assert loss.recovery_s <= 5.0
        assert loss.attempts <= loss.most_attempts
        assert [replica.condition for replica in pool.replicas] != ["well", "well"]
