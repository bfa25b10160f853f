"""The program as its users run it: a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

COMMAND = (sys.executable, "-c", "from penstock.cli import main; main()")


def environment(**more: str) -> dict[str, str]:
    """Ours, without settings that a developer may have set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return {**kept, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200", **more}


def penstock(*arguments: str | Path, timeout_s: float = 90, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, env=environment(**more), check=False
    )


def start(*arguments: str | Path, output: IO[str] | None = None, **more: str) -> subprocess.Popen[str]:
    """Start a command; whoever calls stops it. What it says goes into a pipe, or into `output`."""
    command: Sequence[str] = [*COMMAND, *map(str, arguments)]
    where: Any = output or subprocess.PIPE
    return subprocess.Popen(command, stdout=where, stderr=where, text=True, env=environment(**more))
