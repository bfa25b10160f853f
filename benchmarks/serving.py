"""Processes that benchmarks start: a fake engine and servers, each on the cores it is given, stopped at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

TICKS = os.sysconf("SC_CLK_TCK")
START_S = 120.0
STOP_S = 30.0


class Running(msgspec.Struct, frozen=True):
    """A process that listens."""

    port: int
    pid: int

    @property
    def cpu_s(self) -> float:
        """User and system time so far, of its children too, where it has worker processes."""
        return sum(_cpu_s(pid) for pid in _family(self.pid))

    @property
    def rss_bytes(self) -> int:
        """Memory of the process and its children."""
        return sum(_rss_bytes(pid) for pid in _family(self.pid))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cores() -> tuple[list[int], list[int]]:
    """For the server, and for all else: a core each where there are two."""
    all_cores = sorted(os.sched_getaffinity(0))
    return (all_cores[:1], all_cores[1:]) if len(all_cores) > 1 else (all_cores, all_cores)


@contextmanager
def process(
    command: Sequence[str], *, port: int, ready: str, on: Sequence[int], environ: dict[str, str] | None = None
) -> Iterator[Running]:
    """Run it until the block ends. `ready` is the path that answers 200 when it is up."""
    started = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, on)), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ,
    )
    try:
        _wait(f"http://127.0.0.1:{port}{ready}", started)
        yield Running(port, started.pid)
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def fake_engine(*, on: Sequence[int], first_token_ms: float = 200, token_ms: float = 10) -> Iterator[Running]:
    """Of 32 tokens an answer, with as many slots as anybody wants."""
    port = free_port()
    command = [sys.executable, "-m", "penstock.bench.fake_llm", "--port", str(port), "--slots", "20000"]
    times = ["--first-token-ms", str(first_token_ms), "--token-ms", str(token_ms)]
    with process([*command, *times], port=port, ready="/v1/models", on=on) as running:
        yield running


@contextmanager
def penstock_server(
    folder: Path, *, engine_port: int, on: Sequence[int], settings: str = "", engine_settings: str = ""
) -> Iterator[Running]:
    """`penstock serve` over an empty folder, with the engine as model `fake`. The settings are TOML."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "penstock.toml"
    engine = f'[[generate.engines]]\nmodel = "fake"\nurls = ["http://127.0.0.1:{engine_port}/v1"]\n'
    config.write_text(f"[flow]\nadmission = false\n{settings}\n{engine}{engine_settings}", encoding="utf-8")
    program = "from penstock.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--data", str(folder / "data"), "--config", str(config)]
    with process([*command, "--port", str(port)], port=port, ready="/readyz", on=on) as running:
        yield running


def _wait(url: str, started: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own address
        except OSError:
            if started.poll() is not None:
                raise SystemExit(f"what should answer {url} has ended with {started.returncode}") from None
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nothing answers {url}")


def _family(pid: int) -> list[int]:
    family = [pid]
    for parent in family:
        try:
            family += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
        except OSError:
            continue
    return family


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
