"""The commands of `penstock jobs`."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from penstock.cli import jobs
from penstock.cli.launch import Config, Data, Json, run, session_of
from penstock.core.types import FileStatus

jobs_app = typer.Typer(no_args_is_help=True, help="Uploaded files on their way: states, another try, dead letters.")


@jobs_app.command("list")
def jobs_list(
    state: Annotated[FileStatus | None, typer.Option("--state", help="Only those.")] = None,
    store: Annotated[str | None, typer.Option("--store", help="Only of this store, by name or id.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 50,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List uploaded files by what became of them, the last changed first.

    penstock jobs list --state failed --store handbook
    """
    session = session_of(data, config)
    shown = jobs.show(session, states=[state] if state else [], store=store, limit=limit, as_json=as_json)
    run(lambda: uvloop.run(shown))


@jobs_app.command("show")
def jobs_show(file: Annotated[str, typer.Argument(help="Its id.")], data: Data = None, config: Config = None) -> None:
    """Print all that is known of an uploaded file."""
    session = session_of(data, config)
    run(lambda: uvloop.run(jobs.one(session, file)))


@jobs_app.command("retry")
def jobs_retry(
    files: Annotated[list[str] | None, typer.Argument(help="Ids of files.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    store: Annotated[str | None, typer.Option("--store", help="Only of this store, by name or id.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Try files again that failed or were cancelled. A running server sees it within seconds."""
    session = session_of(data, config)
    run(lambda: uvloop.run(jobs.retry(session, files or [], failed=failed, store=store)))


@jobs_app.command("dead")
def jobs_dead(
    limit: Annotated[int, typer.Option("--limit", min=1)] = 50,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List the dead letters: jobs that were given up, and why."""
    session = session_of(data, config)
    run(lambda: uvloop.run(jobs.dead(session, limit=limit, as_json=as_json)))


@jobs_app.command("replay")
def jobs_replay(
    letters: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Put dead letters back into the queue; their files wait again."""
    session = session_of(data, config)
    run(lambda: uvloop.run(jobs.replay(session, letters or [], every=every)))
