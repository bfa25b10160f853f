"""`penstock doctor`: is this machine ready, and what to do where it is not."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from penstock import __version__
from penstock.cli.session import Session
from penstock.config import Settings
from penstock.core.errors import BadSetting, ModelMissing
from penstock.embed.openvino import cpu_capabilities
from penstock.ingest.language_data import find_language_data
from penstock.models.locate import describe_model

PACKAGES = ("openvino", "qdrant-edge-py", "tokenizers", "starlette", "uvicorn", "numpy")
WANTED_FREE_BYTES = 2 * 1024**3

State = Literal["ok", "warning", "problem"]
STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "red"}


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `advice` says what to do unless it is ok."""

    subject: str
    state: State
    detail: str
    advice: str = ""


def doctor(session: Session) -> int:
    """Exit code 3 when there is a problem, 0 else."""
    findings = list(examine(session.settings))
    table = Table("", "what", "found", box=None, show_header=False)
    for finding in findings:
        detail = finding.detail + (f"\n→ {finding.advice}" if finding.advice else "")
        table.add_row(f"[{STYLES[finding.state]}]{finding.state}", finding.subject, detail)
    Console().print(table)
    return 3 if any(finding.state == "problem" for finding in findings) else 0


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything that a start needs."""
    looks: tuple[Callable[[Settings], Finding], ...] = (_python, _packages, _cpu, _memory, _model, _ocr, _disk, _port)
    for look in looks:
        yield look(settings)


def _python(_: Settings) -> Finding:
    detail = f"Penstock {__version__} on Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return Finding("versions", "ok", detail)


def _packages(_: Settings) -> Finding:
    found: list[str] = []
    missing: list[str] = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", "problem", f"missing: {', '.join(missing)}", "Install Penstock again: make install")
    return Finding("packages", "ok", ", ".join(found))


def _cpu(_: Settings) -> Finding:
    capabilities = cpu_capabilities()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    detail = f"{cores} cores; the encoder computes in {', '.join(capabilities)}"
    if "BF16" not in capabilities:
        return Finding("processor", "ok", detail + " (no bf16: encoding runs in fp32)")
    return Finding("processor", "ok", detail)


def _memory(_: Settings) -> Finding:
    total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    detail = f"{total_bytes / 1024**3:.1f} GiB"
    if total_bytes < 2 * 1024**3:
        return Finding("memory", "warning", detail, "Below 2 GiB; large stores may not fit.")
    return Finding("memory", "ok", detail)


def _model(settings: Settings) -> Finding:
    try:
        return Finding("encoder", "ok", describe_model(settings.embed.model, revision=settings.embed.revision or None))
    except ModelMissing as error:
        return Finding("encoder", "problem", f"{settings.embed.model} is not here", error.message)


def _ocr(settings: Settings) -> Finding:
    try:
        data = find_language_data(settings.ingest)
    except BadSetting as error:
        return Finding("scans", "problem", "OCR is on, and cannot work", error.message)
    return Finding("scans", "ok", f"read in {', '.join(data.languages)}" if data else "not read (ingest.ocr is off)")


def _disk(settings: Settings) -> Finding:
    folder = Path(settings.data_dir).absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        return Finding("data folder", "problem", f"{folder} cannot be written", "Choose another with --data.")
    free_bytes = shutil.disk_usage(existing).free
    detail = f"{folder}, {free_bytes / 1024**3:.1f} GiB free"
    if free_bytes < WANTED_FREE_BYTES:
        return Finding("data folder", "warning", detail, "Little room; free some space before large ingestions.")
    return Finding("data folder", "ok", detail)


def _port(settings: Settings) -> Finding:
    address = (settings.server.host, settings.server.port)
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            advice = "Stop what listens there, or choose another with --port."
            return Finding("port", "problem", f"{address[0]}:{address[1]}: {error.strerror}", advice)
    return Finding("port", "ok", f"{address[0]}:{address[1]} is free")
