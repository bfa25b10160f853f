"""How every command begins and ends: the options that all share, the settings, errors, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from penstock.cli.session import Session
from penstock.core.errors import BadSetting, InvalidRequest, PenstockError, Setup
from penstock.settings import Loaded, load_settings
from penstock.telemetry.log import configure_logging

Data = Annotated[Path | None, typer.Option("--data", help="Folder that keeps stores, the catalog and models.")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).", envvar="PENSTOCK_CONFIG")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def session_of(
    data: Path | None,
    config: Path | None,
    *,
    port: int | None = None,
    host: str | None = None,
    model: str | None = None,
) -> Session:
    """The settings of this run, with what the command line says; ends the program where they are wrong."""
    overrides = {
        "data_dir": str(data) if data else None, "server.port": port, "server.host": host, "embed.model": model,
    }  # fmt: skip

    def read() -> Loaded:
        return load_settings(file=config, environ=os.environ, overrides=overrides)

    try:
        loaded = read()
    except BadSetting as error:
        fail(error)
    configure_logging(level=loaded.settings.log.level, json_lines=loaded.settings.log.json_lines)
    return Session(loaded=loaded, read=read)


SWITCH_S = 0.001
"""A thread that computes in Python holds up the others for so long at the most, and a question crosses between threads
half a dozen times. Python's own 5 ms are felt beside an ingestion."""


def run(work: Callable[[], int]) -> None:
    """Do it, and end the program with its exit code."""
    sys.setswitchinterval(SWITCH_S)
    try:
        code = work()
    except PenstockError as error:
        fail(error)
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)


def fail(error: PenstockError) -> NoReturn:
    """Say what is wrong, and end the program."""
    typer.secho(f"penstock: {error.message}", fg=typer.colors.RED if sys.stderr.isatty() else None, err=True)
    wrong_usage = isinstance(error, BadSetting | InvalidRequest)
    raise typer.Exit(2 if wrong_usage else 3 if isinstance(error, Setup) else 1)
