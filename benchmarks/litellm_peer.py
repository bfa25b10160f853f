"""Penstock as a plain proxy to an engine, beside LiteLLM's proxy: requests a second, added latency, memory.

    python -m benchmarks.litellm_peer [--callers 32] [--seconds 6] [--token-ms 0] [--json FILE]

Both forward chat completions to the same fake engine, without keys, one worker each, on the same core and in turns
(Penstock, LiteLLM, Penstock); the engine and the load generator share the other. Callers ask again as soon as they have
their answer, so the rate is what a proxy can do at most. With `--token-ms 0` an answer's 32 tokens come at once; else
every so often, and the callers must be many enough to saturate. Each answer is compared with what the engine said.
LiteLLM gets an environment of its own, `.venv-litellm`, made the first time; PENSTOCK_LITELLM_VENV names another.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import uvloop

from benchmarks.main_job.machine import describe
from benchmarks.serving import Running, cores, fake_engine, free_port, penstock_server, process
from penstock.bench.fake_connection import WORDS
from penstock.bench.stream_client import Heard, chat_request, closed_loop, now_s

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-litellm"
NEEDED = "litellm[proxy]==1.108.7"
TOKENS = 32
PATH = "/v1/chat/completions"
SAID = " ".join(WORDS[number % len(WORDS)] for number in range(TOKENS))
PROBE_TURNS = 2
ALONE_TURNS = 100
NO_ACCOUNT = {
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
}
"""No key, as with Penstock; nothing fetched from elsewhere; no log line for each request."""


class Rate(NamedTuple):
    """One closed loop at saturation."""

    per_s: float
    cpu_us: float
    """Of the proxy, an answer."""
    cpu_cores: float
    p50_ms: float
    faulty: int


class Turn(msgspec.Struct, kw_only=True):
    """One proxy's turn."""

    name: str
    streamed: Rate
    plain: Rate
    first_alone_ms: float
    whole_alone_ms: float
    idle_mb: float
    loaded_mb: float
    """Resident memory of the proxy and its children."""


class Bar(NamedTuple):
    what: str
    ratio: float
    limit: float
    is_met: bool


def environment() -> Path:
    """A Python with LiteLLM's proxy: what PENSTOCK_LITELLM_VENV names, or one made here once."""
    given = os.environ.pop("PENSTOCK_LITELLM_VENV", None)  # not a setting, and the server refuses unknown ones
    folder = Path(given) if given else ENVIRONMENT
    python = folder.absolute() / "bin" / "python"
    if not python.exists():
        if given:
            raise SystemExit(f"{folder} (PENSTOCK_LITELLM_VENV) is no virtual environment")
        print(f"Making {folder.name} with LiteLLM's proxy; once, and it takes minutes.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if not _version(python):
        if given:
            raise SystemExit(f"{folder} (PENSTOCK_LITELLM_VENV) lacks litellm[proxy]")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, NEEDED], check=True)
    return python


def _version(python: Path) -> str:
    code = "import importlib.metadata as m; m.version('granian'); print(m.version('litellm'))"
    shown = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


@contextmanager
def litellm_proxy(python: Path, folder: Path, *, engine_port: int, on: Sequence[int]) -> Iterator[Running]:
    port = free_port()
    config = folder / "litellm.json"  # JSON is YAML
    engine = {"model": "openai/fake", "api_base": f"http://127.0.0.1:{engine_port}/v1", "api_key": "none"}
    models = [{"model_name": "fake", "litellm_params": engine}]
    config.write_text(json.dumps({"model_list": models, "litellm_settings": {"telemetry": False}}), encoding="utf-8")
    command = [str(python.parent / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | NO_ACCOUNT
    with process(
        [*command, "--num_workers", "1", "--telemetry", "False"],
        port=port,
        ready="/health/liveliness",
        on=on,
        environ=environ,
    ) as running:
        yield running


async def _ask(running: Running, *, ours: bool, streamed: bool, callers: int, turns: int) -> list[Heard]:
    body: dict[str, object] = {
        "model": "fake",
        "stream": streamed,
        "messages": [{"role": "user", "content": "x " * 450}],
    }
    if ours:
        body["vector_store_ids"] = []
    payload = chat_request(f"127.0.0.1:{running.port}", PATH, body)
    return await closed_loop(
        host="127.0.0.1",
        port=running.port,
        payload=payload,
        streams=callers,
        turns=turns,
        spread_s=0.0 if callers == 1 else 0.1,
        streamed=streamed,
    )


async def _rate(running: Running, options: argparse.Namespace, *, ours: bool, streamed: bool) -> Rate:
    """As many turns as take about the time that was asked for, after a few that warm up and tell the speed."""
    began_s = now_s()
    await _ask(running, ours=ours, streamed=streamed, callers=options.callers, turns=PROBE_TURNS)
    turns = max(2, round(options.seconds / ((now_s() - began_s) / PROBE_TURNS)))
    began_s, cpu_s = now_s(), running.cpu_s
    heard = await _ask(running, ours=ours, streamed=streamed, callers=options.callers, turns=turns)
    took_s, cpu_s = now_s() - began_s, running.cpu_s - cpu_s
    return Rate(
        per_s=len(heard) / took_s,
        cpu_us=cpu_s / len(heard) * 1e6,
        cpu_cores=cpu_s / took_s,
        p50_ms=statistics.median(one.total_s for one in heard) * 1000,
        faulty=_faulty(heard),
    )


def _faulty(heard: list[Heard]) -> int:
    return sum(1 for one in heard if one.error or one.text != SAID)


async def _alone(running: Running, *, ours: bool) -> tuple[float, float]:
    """To the first token and to the end of a stream, one caller."""
    heard = await _ask(running, ours=ours, streamed=True, callers=1, turns=ALONE_TURNS)
    first_s, total_s = (statistics.median(getattr(one, name) for one in heard) for name in ("first_s", "total_s"))
    return first_s * 1000, total_s * 1000


async def measure(running: Running, options: argparse.Namespace, *, name: str) -> Turn:
    ours = name == "penstock"
    gc.collect()
    idle_mb = running.rss_bytes / 1e6
    await _ask(running, ours=ours, streamed=True, callers=1, turns=20)  # the first requests import and connect
    first_ms, whole_ms = await _alone(running, ours=ours)
    streamed = await _rate(running, options, ours=ours, streamed=True)
    plain = await _rate(running, options, ours=ours, streamed=False)
    turn = Turn(
        name=name,
        streamed=streamed,
        plain=plain,
        first_alone_ms=first_ms,
        whole_alone_ms=whole_ms,
        idle_mb=idle_mb,
        loaded_mb=running.rss_bytes / 1e6,
    )
    _show(turn)
    return turn


def _show(turn: Turn) -> None:
    for what, rate in (("streamed", turn.streamed), ("plain", turn.plain)):
        print(
            f"{turn.name:9} {what:9} {rate.per_s:7.1f} requests/s  p50 {rate.p50_ms:7.1f} ms  "
            f"CPU {rate.cpu_cores:.2f} cores, {rate.cpu_us:6.0f} µs an answer  wrong or lost {rate.faulty}"
        )
    print(
        f"{turn.name:9} alone     first token {turn.first_alone_ms:.2f} ms, end {turn.whole_alone_ms:.2f} ms  "
        f"memory {turn.idle_mb:.0f} MB at start, {turn.loaded_mb:.0f} MB after",
        flush=True,
    )


def bars(ours: Sequence[Turn], theirs: Turn) -> list[Bar]:
    """Ours is the mean of the turns before and after theirs; of memory the larger."""
    streamed = statistics.mean(turn.streamed.per_s for turn in ours) / theirs.streamed.per_s
    plain = statistics.mean(turn.plain.per_s for turn in ours) / theirs.plain.per_s
    memory = max(turn.loaded_mb for turn in ours) / theirs.loaded_mb
    return [
        Bar("streamed requests/s, at least", streamed, 20, streamed >= 20),
        Bar("plain requests/s, at least", plain, 10, plain >= 10),
        Bar("memory, at most", memory, 0.5, memory <= 0.5),
    ]


def _report(turns: list[Turn], direct_ms: tuple[float, float], found: list[Bar], options: argparse.Namespace) -> None:
    print(f"direct    alone     first token {direct_ms[0]:.2f} ms, end {direct_ms[1]:.2f} ms")
    for turn in turns:
        print(f"{turn.name:9} adds {turn.first_alone_ms - direct_ms[0]:+.2f} ms to the first token of a stream alone")
    for bar in found:
        print(f"{bar.what:32} {bar.ratio:6.2f} x LiteLLM's, bar {bar.limit:g}: {'met' if bar.is_met else 'MISSED'}")
    if options.json:
        content = {
            "machine": describe(ROOT),
            "litellm": options.litellm,
            "options": {"callers": options.callers, "seconds": options.seconds, "token_ms": options.token_ms},
            "direct_alone_ms": direct_ms,
            "turns": [msgspec.to_builtins(turn) for turn in turns],
            "bars": [bar._asdict() for bar in found],
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=2), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each closed loop, about")
    parser.add_argument("--token-ms", type=float, default=0.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    python = environment()
    options.litellm = _version(python)
    print(f"LiteLLM {options.litellm}", flush=True)
    for_server, for_rest = cores()
    gc.disable()
    with (
        tempfile.TemporaryDirectory() as name,
        fake_engine(on=for_rest, first_token_ms=0, token_ms=options.token_ms) as engine,
        litellm_proxy(python, Path(name), engine_port=engine.port, on=for_server) as theirs,
        penstock_server(Path(name) / "ours", engine_port=engine.port, on=for_server) as ours,
    ):
        os.sched_setaffinity(0, for_rest)
        direct_ms = uvloop.run(_alone(engine, ours=False))
        sides = (("penstock", ours), ("litellm", theirs), ("penstock", ours))
        turns = [uvloop.run(measure(running, options, name=side)) for side, running in sides]
    found = bars([turns[0], turns[2]], turns[1])
    _report(turns, direct_ms, found, options)
    sys.exit(not all(bar.is_met for bar in found))


if __name__ == "__main__":
    main()
