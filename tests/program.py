"""The program as its users run it: a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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


def start(*arguments: str | Path, **more: str) -> subprocess.Popen[str]:
    """Start a command; whoever calls stops it."""
    command: Sequence[str] = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**more))
