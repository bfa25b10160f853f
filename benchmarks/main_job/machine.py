"""What the numbers were measured on, and of what."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from penstock import __version__

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8", "amx_tile")
PACKAGES = ("openvino", "qdrant-edge-py", "tokenizers", "numpy", "starlette", "uvicorn", "msgspec")


def describe(root: Path) -> dict[str, Any]:
    """Processor, memory, system, versions, commit, and how busy the machine is with other things."""
    info = _text("/proc/cpuinfo")
    flags = set((_first(r"^flags\s*: (.*)$", info) or "").split())
    total_kb = _first(r"^MemTotal:\s*(\d+)", _text("/proc/meminfo"))
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _first(r"^model name\s*: (.*)$", info) or platform.processor() or platform.machine(),
        "cores": cores(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "memory_gb": round(int(total_kb) * 1024 / 1e9, 1) if total_kb else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "penstock": __version__,
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": _git(root, "rev-parse", "--short", "HEAD"),
        "uncommitted_changes": bool(_git(root, "status", "--porcelain", "--untracked-files=no")),
        "load_before": load(),
    }


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Processes that wanted a core in the last minute."""
    return round(os.getloadavg()[0], 2)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(root: Path, *arguments: str) -> str:
    shown = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text, flags=re.MULTILINE)
    return found[1] if found else None
