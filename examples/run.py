"""Runs every example against a server of its own, and checks what it prints: `make examples`.

The server reads examples/documents into the store `handbook`, on a free port, in a folder that is gone afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENTS = Path(os.environ.get("EXAMPLES_PYTHON", sys.executable)).absolute()  # not resolved: an environment is its link
START_S, RUN_S, STOP_S = 120.0, 240.0, 20.0

EXAMPLES: tuple[tuple[str, list[str], tuple[str, ...]], ...] = (
    # (name, command, what its output must contain)
    ("curl", ["bash", "curl.sh"], ("security.md", "data: [DONE]", '"index":1')),
    ("openai, Python", [str(CLIENTS), "openai_python.py"], ("canteen.md", "team lead approves", "180 euros")),
    ("openai, Node", ["node", "node/openai.mjs"], ("refunds.md", "team lead approves", "within one hour")),
    ("LangChain", [str(CLIENTS), "langchain_retrieval.py"], ("Lunch is served", "team lead approves", "140 euros")),
    ("LlamaIndex", [str(CLIENTS), "llamaindex_retrieval.py"], ("Lunch is served",)),
    ("MCP", [str(CLIENTS), "mcp_client.py"], ("search, ask", "team lead approves", "refunds.md")),
)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Yields the URL of a server that is ready."""
    log = (folder / "server.log").open("w+", encoding="utf-8")
    command = [str(Path(sys.executable).with_name("penstock")), "up", str(HERE / "documents"), "--store", "handbook"]
    command += ["--data", str(folder / "data"), "--port", "0"]
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield _url(process, Path(log.name))
    finally:
        process.terminate()
        process.wait(STOP_S)
        log.close()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and process.poll() is None:
        if found := re.search(r"Open +(http://\S+)", log.read_text(encoding="utf-8")):
            return found[1]
        time.sleep(0.1)
    raise SystemExit(f"The server did not start:\n{log.read_text(encoding='utf-8')}")


def run(name: str, command: list[str], expected: tuple[str, ...], url: str) -> bool:
    """Run one example; whether it did what it should."""
    began_s = time.monotonic()
    # No settings and keys of whoever runs this: only what the example needs.
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PENSTOCK_URL": url}
    done = subprocess.run(command, cwd=HERE, env=environ, capture_output=True, text=True, timeout=RUN_S, check=False)
    missing = [part for part in expected if part not in done.stdout]
    is_good = done.returncode == 0 and not missing
    print(f"{'ok  ' if is_good else 'FAIL'} {name} ({time.monotonic() - began_s:.1f} s)")
    if not is_good:
        print(f"exit status {done.returncode}; missing: {missing}\n{done.stdout}\n{done.stderr}")
    return is_good


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as url:
        for name, command, expected in EXAMPLES:
            if shutil.which(command[0]) is None and os.environ.get("CI") != "true":
                print(f"skip {name}: there is no {command[0]} here")
                continue
            failed += not run(name, command, expected, url)
    return failed


if __name__ == "__main__":
    sys.exit(main())
