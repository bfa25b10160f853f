"""`penstock engines`: how the language models of a running server stand, and their servers out of use and back."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from penstock.cli.session import Session
from penstock.core.errors import InvalidRequest, Setup
from penstock.flow.datalock import Holder, read_holder

TIMEOUT_S = 10.0


def show(session: Session, *, as_json: bool) -> int:
    """All engines and their servers."""
    return _print(_ask(session, "GET", "/engines"), as_json=as_json)


def change(session: Session, verb: str, model: str, replica: str) -> int:
    """Drain or resume one server."""
    return _print(_ask(session, "POST", f"/engines/{verb}", {"model": model, "replica": replica}), as_json=False)


def usage(session: Session, since: str, *, as_json: bool) -> int:
    """Who used what from a day on."""
    answer = _ask(session, "GET", f"/usage?since={quote(since)}" if since else "/usage")
    if as_json:
        sys.stdout.write(json.dumps(answer["data"], indent=2) + "\n")
        return 0
    table = Table(
        "tenant", "model", "requests", "broken", "prompt", "cached", "output", "price", "first ms", "tokens/s"
    )
    for row in answer["data"]:
        counts = (row["requests"], row["broken"], row["prompt_tokens"], row["cached_tokens"], row["output_tokens"])
        speeds = (f"{row['price']:.4f}", f"{row['mean_first_token_ms']:.0f}", f"{row['tokens_per_s']:.0f}")
        table.add_row(row["tenant"], row["model"], *map(str, counts), *speeds)
    Console().print(table if answer["data"] else f"No language model has been used since {answer['since']}.")
    return 0


def reload(session: Session) -> int:
    """Have the server read its settings file again."""
    holder = _holder(session)
    os.kill(holder.pid, signal.SIGHUP)
    sys.stderr.write(f"Process {holder.pid} reads its settings again; its log says what changed.\n")
    return 0


def _holder(session: Session) -> Holder:
    folder = Path(session.settings.data_dir)
    holder = read_holder(folder)
    if holder is None or not holder.address:
        raise Setup(f"No server runs on the data folder {folder}. Start one: penstock serve --data {folder}")
    return holder


def _ask(session: Session, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    address = _holder(session).address
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("PENSTOCK_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data=data, headers=headers, method=method)  # noqa: S310 - from our own lock file
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - likewise
            read: dict[str, Any] = json.load(answer)
            return read
    except urllib.error.HTTPError as error:
        raise _refused(error) from error
    except OSError as error:
        raise Setup(f"The server at {address} does not answer ({error}).") from error


def _refused(error: urllib.error.HTTPError) -> InvalidRequest:
    try:
        message = json.load(error)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"The server answered with status {error.code}."
    hint = " Give an admin key in PENSTOCK_API_KEY." if error.code in (401, 403) else ""
    return InvalidRequest(message + hint)


def _print(answer: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps(answer["data"], indent=2) + "\n")
        return 0
    table = Table("model", "replica", "condition", "in hand", "prefix hits", "attempts", "retries")
    for engine in answer["data"]:
        shared = (f"{engine['prefix_hit_ratio']:.2f}", str(engine["attempts"]), str(engine["retries"]))
        for place, replica in enumerate(engine["replicas"]):
            row = (engine["model"], replica["name"], replica["condition"], str(replica["in_hand"]))
            table.add_row(*row, *(shared if place == 0 else ("", "", "")))
    Console().print(table if answer["data"] else "There are no language models: the extractive engine answers.")
    return 0
