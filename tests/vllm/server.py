"""Real vLLM on the CPU as a process of its own, and what its metrics say."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

MODEL = "tiny"
START_WITHIN_S = 600.0


class VllmServer:
    """One server of the tiny model. `start` returns at once; `wait` when it answers."""

    def __init__(self, *, python: str, model: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._log = log
        command = [python, "-m", "vllm.entrypoints.cli.main", "serve", str(model), "--served-model-name", MODEL]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--enforce-eager"]
        command += ["--max-model-len", "4096", "--max-num-seqs", "32"]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PYTHON"))},
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
        }
        # A session of its own: vLLM is several processes, and a kill has to reach all of them.
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def wait(self) -> None:
        until_s = time.monotonic() + START_WITHIN_S
        while time.monotonic() < until_s:
            if self._process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2).close()
            except OSError:
                time.sleep(0.5)
            else:
                return
        raise RuntimeError(f"vLLM did not start:\n{self._log.read_text(errors='replace')[-3000:]}")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^vllm:{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE)
        assert found, name
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        return sum(float(value) for had, value in found if wanted <= set(had.split(",")))

    def kill(self) -> None:
        """SIGKILL, for the whole replica."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._process.wait()
