"""What Penstock adds between a client and an engine, and what the engine in this process does with many at once.

    python -m benchmarks.generation added [--streams 32 --token-ms 10] [--repeats 5] [--url http://.../v1]
    python -m benchmarks.generation local

`added`: a fake engine in a process of its own (200 ms to the first token, then 32 tokens). Direct, which is a bare
aiohttp client that only looks for the first event and counts tokens, and through the engine's path (prompt packing,
pool, SSE, citations), in turn, A/B/A. With --url the second side is a bare client at that address instead: a running
gateway in front of the same fake engine (--port says where that listens), which makes it the whole HTTP path.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from penstock.core.context import start_context
from penstock.core.types import Chunk, Hit, Message, Principal, Prompt, Sampling
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.packed import PackedGenerator
from penstock.generate.pool import Pool
from penstock.generate.prompt.pack import Packer
from penstock.generate.prompt.template import Templates
from penstock.generate.tokens import Estimate

TOKENS = 32
PASSAGES = tuple(
    Hit(
        store_id="vs_1",
        file_id=f"file_{place}",
        filename=f"{place}.md",
        title="Mills",
        score=0.9,
        chunk=Chunk(id=f"chunk_{place}", position=0, text=f"Passage {place}. " + "The gate governs the flow. " * 20),
    )
    for place in range(6)
)
PROMPT = Prompt(question="What governs the flow?", passages=PASSAGES)
Call = Callable[[], Awaitable[tuple[float, int]]]


def fake_engine(port: int, token_ms: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "penstock.bench.fake_llm", "--port", str(port), "--first-token-ms", "200"]
    process = subprocess.Popen([*command, "--token-ms", str(token_ms), "--slots", "4096"], stdout=subprocess.DEVNULL)
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return process
    raise SystemExit("the fake engine did not start")


def bare(session: aiohttp.ClientSession, url: str) -> Call:
    body = json.dumps({"model": "fake", "stream": True, "messages": [{"role": "user", "content": "x " * 900}]})

    async def call() -> tuple[float, int]:
        began_s, first_s, tokens = time.perf_counter(), 0.0, 0
        headers = {"Content-Type": "application/json"}
        async with session.post(f"{url}/chat/completions", data=body, headers=headers) as response:
            async for data in response.content.iter_any():
                first_s = first_s or time.perf_counter() - began_s
                tokens += data.count(b'"content"')
        return first_s, tokens

    return call


def through(generator: PackedGenerator) -> Call:
    async def call() -> tuple[float, int]:
        began_s, first_s, tokens = time.perf_counter(), 0.0, 0
        async for delta in generator.generate(PROMPT, start_context(principal=Principal(), timeout_s=60.0)):
            first_s = first_s or time.perf_counter() - began_s
            if delta.usage is not None:
                tokens = delta.usage.output
        return first_s, tokens

    return call


async def loaded(call: Call, streams: int, turns: int, period_s: float) -> tuple[list[float], int, int]:
    """Times to the first token, dropped streams, tokens; `streams` at once, each beginning at a time of its own."""
    firsts, dropped, tokens = [], 0, 0

    async def client(offset_s: float) -> None:
        nonlocal dropped, tokens
        await asyncio.sleep(offset_s)
        for _ in range(turns):
            try:
                first_s, count = await call()
            except Exception:  # noqa: BLE001 - whatever it is, it is a dropped stream, and the bar is none
                dropped += 1
                continue
            firsts.append(first_s)
            tokens += count

    dice = random.Random(7)  # noqa: S311 - spreads arrivals
    await asyncio.gather(*(client(dice.uniform(0, period_s)) for _ in range(streams)))
    return firsts, dropped, tokens


async def added(options: argparse.Namespace) -> None:
    fake = f"http://127.0.0.1:{options.port}/v1"
    process = fake_engine(options.port, options.token_ms)
    engine = OpenAIGenerator(model="fake", url=fake)
    pool = Pool(model="fake", on_death=_raise)
    pool.add("one", engine)
    packed = PackedGenerator(engine=pool, packer=Packer(templates=Templates(), tokens=Estimate(), key=b"bench"))
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            await engine.start()
            direct = bare(session, fake)
            ours = bare(session, options.url) if options.url else through(packed)
            await compare(direct, ours, options)
    finally:
        await engine.stop()
        process.terminate()
        process.wait()


async def compare(direct: Call, ours: Call, options: argparse.Namespace) -> None:
    period_s = 0.2 + TOKENS * options.token_ms / 1000
    expected = options.streams * options.turns * TOKENS
    for call in (direct, ours):
        await loaded(call, options.streams, 1, period_s)
    differences: dict[str, list[float]] = {"p50": [], "p99": []}
    for repeat in range(options.repeats):
        sides = {}
        for name, call in (("direct", direct), ("penstock", ours), ("direct again", direct)):
            cpu_s = time.process_time()
            firsts, dropped, tokens = await loaded(call, options.streams, options.turns, period_s)
            cpu_s = time.process_time() - cpu_s
            cuts = statistics.quantiles(firsts, n=100)
            sides[name] = (cuts[49] * 1000, cuts[98] * 1000)
            print(
                f"{repeat} {name:13} p50 {cuts[49] * 1000:7.2f} ms  p99 {cuts[98] * 1000:7.2f} ms  dropped {dropped}"
                f"  tokens {tokens}/{expected}  CPU {cpu_s / max(tokens, 1) * 1e6:.0f} µs a token"
            )
        for place, name in enumerate(differences):
            before, after = sides["direct"][place], sides["direct again"][place]
            differences[name].append(sides["penstock"][place] - (before + after) / 2)
    for name, values in differences.items():
        print(f"added at {name}: median {statistics.median(values):+.2f} ms, {min(values):+.2f} to {max(values):+.2f}")


async def local(options: argparse.Namespace) -> None:
    from penstock.generate.local import LocalGenerator, LocalSettings  # noqa: PLC0415 - an extra

    async def run(engine: LocalGenerator, text: str, tokens: int) -> tuple[float, int]:
        prompt = Prompt(
            question=text,
            passages=(),
            messages=(Message(role="user", content=text),),
            sampling=Sampling(max_tokens=tokens),
        )
        began_s, first_s, output = time.perf_counter(), 0.0, 0
        async for delta in engine.generate(prompt, start_context(principal=Principal(), timeout_s=120.0)):
            first_s = first_s or time.perf_counter() - began_s
            output = delta.usage.output if delta.usage else output
        return first_s, output

    engine = LocalGenerator(model="tiny", source=options.model)
    await engine.start()
    ratios = []
    for _ in range(options.repeats):
        began_s = time.perf_counter()
        alone = sum([(await run(engine, f"question {number}", 64))[1] for number in range(16)])
        alone_rate = alone / (time.perf_counter() - began_s)
        lags: list[float] = []
        watching = asyncio.create_task(note_lags(lags))
        began_s = time.perf_counter()
        together = await asyncio.gather(*(run(engine, f"question {number}", 64) for number in range(32)))
        together_rate = sum(output for _, output in together) / (time.perf_counter() - began_s)
        watching.cancel()
        ratios.append(together_rate / alone_rate)
        late = statistics.quantiles(lags, n=100)
        print(
            f"one by one {alone_rate:.0f} tokens/s, 32 at once {together_rate:.0f} tokens/s; the event loop meanwhile "
            f"late by p50 {late[49] * 1000:.1f} ms, p99 {late[98] * 1000:.1f} ms"
        )
    print(f"ratio: median {statistics.median(ratios):.1f}, {min(ratios):.1f} to {max(ratios):.1f} (bar 6)")
    await engine.stop()
    medians = {}
    for caching in (False, True):
        engine = LocalGenerator(
            model="tiny", source=options.model, settings=LocalSettings(prefix_caching=caching, step_tokens=2048)
        )
        await engine.start()
        shared = " ".join(f"the gate number {number} governs the flow of water" for number in range(150))
        await run(engine, f"{shared} warm", 4)
        medians[caching] = statistics.median([(await run(engine, f"{shared} {n}", 4))[0] for n in range(9)])
        await engine.stop()
    print(f"first token on a shared context: {medians[False] * 1000:.1f} ms without prefix caching, ", end="")
    print(f"{medians[True] * 1000:.1f} ms with it, ratio {medians[True] / medians[False]:.2f} (bar .5)")


async def note_lags(lags: list[float]) -> None:
    """How much later than asked the event loop wakes us, again and again."""
    while True:
        asked_s = time.perf_counter() + 0.002
        await asyncio.sleep(0.002)
        lags.append(time.perf_counter() - asked_s)


def _raise(name: str, error: BaseException) -> None:
    raise SystemExit(f"{name} died") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("added")
    one.add_argument("--streams", type=int, default=32)
    one.add_argument("--token-ms", type=float, default=10.0)
    one.add_argument("--turns", type=int, default=8, help="requests of each stream, one after another")
    one.add_argument("--repeats", type=int, default=5)
    one.add_argument("--port", type=int, default=9377)
    one.add_argument("--url", default="")
    one.set_defaults(run=added)
    two = commands.add_parser("local")
    two.add_argument("--model", default=str(Path("tests/generate/tiny_llama/openvino")))
    two.add_argument("--repeats", type=int, default=5)
    two.set_defaults(run=local)
    options = parser.parse_args()
    asyncio.run(options.run(options))


if __name__ == "__main__":
    main()
