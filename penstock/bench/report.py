"""All of an experiment in one value, as it is written to JSON: enough to say later what was measured, and where."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.bench.compare import Ratio
from penstock.bench.figures import Slo
from penstock.bench.trial import Trial
from penstock.settings import load_settings

SECRET_ENDINGS = ("key", "secret", "password", "token", "dsn")
STEADY = 1_000
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class Machine(msgspec.Struct, frozen=True):
    """The class of machine, never its name."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    load_average: float
    """Of the last minute before the first run: other work on the machine."""


class Capacity(msgspec.Struct, frozen=True):
    """The highest rate carried within the SLO, and the lowest that was not (0: every rate was carried)."""

    label: str
    repeat: int
    carried_per_s: float
    refused_per_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment."""

    version: str
    commit: str
    machine: Machine
    began_at: str
    seed: int
    load: list[dict[str, Any]]
    duration_s: float
    warmup_s: float
    questions: str
    slo: Slo
    pinned: bool
    configurations: dict[str, dict[str, Any]]
    """By label, what is set otherwise than by default."""
    trials: list[Trial]
    capacities: list[Capacity]
    ratios: list[Ratio]

    def at_rates(self, label: str) -> dict[float, list[Trial]]:
        """A configuration's trials by rate, lowest first."""
        rates = sorted({trial.rate for trial in self.trials if trial.label == label})
        return {rate: [trial for trial in self.trials if (trial.label, trial.rate) == (label, rate)] for rate in rates}

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(trial.label for trial in self.trials))

    def warnings(self) -> Sequence[str]:
        """What a reader must know before believing a figure."""
        said = dict.fromkeys(warning for trial in self.trials for warning in trial.figures.generator.warnings)
        counts = [latency.count for trial in self.trials if (latency := trial.figures.served.latency_ms) is not None]
        if counts and min(counts) < STEADY:
            said[f"p99 rests on as few as {min(counts):,} answers; a thousand or more make it steady."] = None
        if self.machine.load_average > self.machine.cores / 2:
            said[
                f"Other work was running (load average {self.machine.load_average:g} on {self.machine.cores} cores): "
                "do not trust absolute figures."
            ] = None
        return list(said)


def describe_machine() -> Machine:
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        load_average=round(os.getloadavg()[0], 2),
    )


def commit() -> str:
    """Of the tree that this program runs from; with a + when files differ from it; empty when it is installed."""
    folder = Path(__file__).resolve().parent
    try:
        head = _git(folder, "rev-parse", "--short", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ".")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


def configuration(file: Path | None) -> dict[str, Any]:
    """What a settings file and the environment set, without paths and secrets. Raises BadSetting."""
    origins = load_settings(file=file, environ=os.environ).origins
    return {
        origin.key: _without_secrets(origin.key, msgspec.to_builtins(origin.value))
        for origin in origins
        if origin.source != "default" and origin.key != "data_dir"
    }


def _without_secrets(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _without_secrets(inner, within) for inner, within in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(name, within) for within in value]
    if isinstance(value, str):
        return "set" if name.endswith(SECRET_ENDINGS) else CREDENTIALS.sub("", value)
    return value


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own words only
        ["git", *arguments],  # noqa: S607 - whichever git the user has
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()
