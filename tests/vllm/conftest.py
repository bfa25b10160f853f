"""`make test-vllm` sets PENSTOCK_VLLM_PYTHON, the interpreter of vLLM's own virtual environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm.server import VllmServer

MAKE = Path(__file__).parents[1] / "generate" / "tiny_llama" / "make.py"


@pytest.fixture(scope="session")
def vllm_python() -> str:
    python = os.environ.get("PENSTOCK_VLLM_PYTHON", "")
    if not python:
        pytest.skip("needs vLLM in an environment of its own: make test-vllm")
    return python


@pytest.fixture(scope="session")
def replicas(vllm_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[VllmServer]]:
    """Two servers of the tiny Llama. The last test kills the first of them."""
    folder = tmp_path_factory.mktemp("vllm")
    subprocess.run([vllm_python, str(MAKE), "hf", str(folder / "model")], check=True, capture_output=True, timeout=300)
    servers: list[VllmServer] = []
    try:
        # One after the other: they share few cores, and the second finds what the first has compiled.
        for place in range(2):
            servers.append(VllmServer(python=vllm_python, model=folder / "model", log=folder / f"{place}.log"))
            servers[-1].wait()
        yield servers
    finally:
        for server in servers:
            server.kill()
