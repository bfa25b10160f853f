"""All commands and what they share: options, errors, exit codes.

Exit codes: 0 done; 1 done, but some files failed or nothing was found; 2 wrong usage or settings; 3 the installation
or the data folder is not usable (the message says what to do); 130 interrupted.
"""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from penstock import __version__
from penstock.catalog.keys import Scope
from penstock.cli import ask, bench, doctor, engines, ingest, keys, reembed, serve, show, worker
from penstock.cli.jobs_commands import jobs_app
from penstock.cli.launch import Config, Data, Json
from penstock.cli.launch import run as _run
from penstock.cli.launch import session_of as _session
from penstock.core.types import Allowance, Priority

app = typer.Typer(
    name="penstock",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Ask questions of your documents, and serve the answers to many.\n\n"
    "Begin with `penstock up docs/`: it reads the folder, serves it, and says what to open.",
)
config_app = typer.Typer(no_args_is_help=True, help="Settings: what they are and where each came from.")
app.add_typer(config_app, name="config")
keys_app = typer.Typer(no_args_is_help=True, help="API keys: who may call. The first one closes the server to others.")
app.add_typer(keys_app, name="keys")
engines_app = typer.Typer(
    no_args_is_help=True, help="Language models of a running server, and the servers behind them."
)
app.add_typer(engines_app, name="engines")
app.add_typer(bench.app, name="bench")

app.add_typer(jobs_app, name="jobs")

Paths = Annotated[list[str], typer.Argument(help="Files, folders, URLs, or .jsonl files with one document a line.")]
EvenMost = Annotated[bool, typer.Option("--even-most", help="Also when that is most of the store.")]
StoreName = Annotated[str, typer.Option("--store", help="Vector store, by name or id.")]
Stores = Annotated[list[str] | None, typer.Option("--store", help="Ask only this store; may be given again.")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.")]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.")]
Limit = Annotated[int, typer.Option("--limit", "-k", min=1, max=50, help="How many passages.")]


@app.command()
def up(
    paths: Paths,
    store: StoreName = "default",
    data: Data = None,
    config: Config = None,
    port: Port = None,
    host: Host = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the folders: changes, renames, deletions.")] = False,
) -> None:
    """Read documents, serve them, and say what to open.

    What has not changed since the last time is not read again.

        penstock up docs/ notes.pdf
        penstock up docs/ --watch
    """
    session = _session(data, config, port=port, host=host)
    _run(lambda: uvloop.run(serve.up(session, paths, store, open_page=open_page, watch=watch)))


@app.command("serve")
def serve_command(data: Data = None, config: Config = None, port: Port = None, host: Host = None) -> None:
    """Serve the stores of the data folder: the API and a page to ask on.

    penstock serve --data /var/lib/penstock --port 9000
    """
    session = _session(data, config, port=port, host=host)
    _run(lambda: uvloop.run(serve.serve(session)))


@app.command("worker")
def worker_command(
    server: Annotated[str | None, typer.Option("--server", help="The server to work for, as http://host:port.")] = None,
    config: Config = None,
) -> None:
    """Read, split and embed uploaded files for a server: in any number, here or on other machines.

    PENSTOCK_API_KEY=psk_… penstock worker --server http://10.0.0.5:8000
    """
    session = _session(None, config)
    _run(lambda: uvloop.run(worker.work(session, server)))


@app.command("ingest")
def ingest_command(
    paths: Paths,
    store: StoreName = "default",
    sync: Annotated[bool, typer.Option("--sync", help="Take out what came from files and is gone from PATHS.")] = False,
    even_most: EvenMost = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Read documents into a store. Bad files are named and counted; the rest goes on.

    After a kill, the same command goes on where it came to.

        penstock ingest handbook/ corpus.jsonl --store handbook
        penstock ingest handbook/ --sync
        penstock ingest https://example.org/guide.html
    """
    session = _session(data, config)
    _run(lambda: uvloop.run(ingest.ingest(session, paths, store, in_step=sync, even_most=even_most)))


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="What to look for.")],
    store: Stores = None,
    limit: Limit = 5,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Find passages, best first.

    penstock search "how do I rotate a key" -k 3
    """
    session = _session(data, config)
    _run(lambda: uvloop.run(ask.search(session, question, store or [], limit, as_json=as_json)))


@app.command("ask")
def ask_command(
    question: Annotated[str, typer.Argument(help="The question.")],
    store: Stores = None,
    limit: Limit = 8,
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Answer a question from the documents, with citations.

    penstock ask "What is the refund period?"
    """
    session = _session(data, config)
    _run(lambda: uvloop.run(ask.ask(session, question, store or [], limit, as_json=as_json)))


@app.command()
def stores(as_json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the stores with their files by state."""
    session = _session(data, config)
    _run(lambda: uvloop.run(show.stores(session, as_json=as_json)))


@app.command("reembed")
def reembed_command(
    store: Annotated[str, typer.Argument(help="Vector store, by name or id.")] = "default",
    model: Annotated[str | None, typer.Option("--model", help="The new encoder; else embed.model.")] = None,
    drop_former: Annotated[bool, typer.Option("--drop-former", help="Remove the indexes of other encoders.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Give a store another encoder: encode its passages beside the index that answers, then switch.

    The former index is kept, so that going back takes seconds. After a kill, the same command goes on.

        penstock reembed handbook --model BAAI/bge-small-en-v1.5
    """
    session = _session(data, config, model=model)
    _run(lambda: uvloop.run(reembed.reembed(session, store, drop_former=drop_former)))


@app.command()
def dump(
    store: Annotated[str, typer.Argument(help="Vector store, by name or id.")] = "default",
    data: Data = None,
    config: Config = None,
) -> None:
    """Print a store in canonical form, a line a chunk, to compare two of them byte for byte."""
    session = _session(data, config)
    _run(lambda: uvloop.run(show.dump(session, store)))


@app.command("doctor")
def doctor_command(data: Data = None, config: Config = None, port: Port = None) -> None:
    """Say whether this machine is ready, and what to do where it is not."""
    session = _session(data, config, port=port)
    _run(lambda: doctor.doctor(session))


@config_app.command("show")
def config_show(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Print every setting, its value and where it came from."""
    session = _session(data, config)
    _run(lambda: show.settings(session, as_json=as_json))


PER_MINUTE = typer.Option(min=0.001, help="A limit of its own; else that of the settings.")


@keys_app.command("create")
def keys_create(  # noqa: PLR0917 - one for each option
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Whose stores and files it sees.")] = "default",
    scope: Annotated[Scope, typer.Option("--scope", help="The most it may do.")] = "read",
    group: Annotated[list[str] | None, typer.Option("--group", help="Sees its documents too.")] = None,
    expires_days: Annotated[float | None, typer.Option("--expires-days", min=0, help="Ends by itself.")] = None,
    priority: Annotated[Priority, typer.Option("--priority", help="How urgent its requests are.")] = "interactive",
    requests_per_minute: Annotated[float | None, PER_MINUTE] = None,
    tokens_per_minute: Annotated[float | None, PER_MINUTE] = None,
    streams: Annotated[int | None, typer.Option("--streams", min=1, help="Streams open at the same time.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a key and print it, once.

    penstock keys create --name reports --scope write --group finance --expires-days 90
    """
    session = _session(data, config)
    groups = group or []
    allowance = Allowance(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, streams=streams)
    made = keys.create(
        session,
        name=name,
        tenant=tenant,
        scope=scope,
        groups=groups,
        expires_days=expires_days,
        priority=priority,
        allowance=allowance,
    )
    _run(lambda: uvloop.run(made))


@keys_app.command("list")
def keys_list(as_json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the keys, by what may be shown of them."""
    session = _session(data, config)
    _run(lambda: uvloop.run(keys.show(session, as_json=as_json)))


@keys_app.command("revoke")
def keys_revoke(
    key: Annotated[str, typer.Argument(help="Its id, or its prefix as listed.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """End a key. A running server refuses it within five seconds."""
    session = _session(data, config)
    _run(lambda: uvloop.run(keys.revoke(session, key.rstrip("…"))))


Model = Annotated[str, typer.Argument(help="The engine's name.")]
Replica = Annotated[str, typer.Argument(help="The server, as listed.")]


@engines_app.command("list")
def engines_list(as_json: Json = False, data: Data = None, config: Config = None) -> None:
    """Show how engines and their servers stand."""
    session = _session(data, config)
    _run(lambda: engines.show(session, as_json=as_json))


@engines_app.command("drain")
def engines_drain(model: Model, replica: Replica, data: Data = None, config: Config = None) -> None:
    """Give a server nothing new, so that it can be restarted; what runs there runs on.

    penstock engines drain llama http://gpu-1:8000/v1
    """
    session = _session(data, config)
    _run(lambda: engines.change(session, "drain", model, replica))


@engines_app.command("resume")
def engines_resume(model: Model, replica: Replica, data: Data = None, config: Config = None) -> None:
    """Let a drained server take requests again."""
    session = _session(data, config)
    _run(lambda: engines.change(session, "resume", model, replica))


@engines_app.command("reload")
def engines_reload(data: Data = None, config: Config = None) -> None:
    """Have the running server take over [generate] of its settings file: engines, their servers, keys, splits."""
    session = _session(data, config)
    _run(lambda: engines.reload(session))


@app.command()
def usage(
    since: Annotated[str, typer.Option("--since", help="A day, UTC; else the first of this month.")] = "",
    as_json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what tenants used of which language model, and its price.

    penstock usage --since 2026-11-01
    """
    session = _session(data, config)
    _run(lambda: engines.usage(session, since, as_json=as_json))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"penstock {__version__}")


def main() -> None:
    """The program's entry."""
    app()
