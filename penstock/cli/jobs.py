"""`penstock jobs`: what became of uploaded files, and another try for those that failed, also beside a server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from penstock.assemble import CATALOG_FILE
from penstock.catalog.database import Database
from penstock.catalog.jobs import Ticket
from penstock.catalog.states import FileState, States, Which
from penstock.cli.session import Session
from penstock.core.errors import InvalidRequest, NotFound
from penstock.core.messages import DeadLetter
from penstock.core.ports import Queue
from penstock.core.types import FileStatus
from penstock.queue.build import make_queue

ALL = 1_000_000


async def show(session: Session, *, states: Sequence[FileStatus], store: str | None, limit: int, as_json: bool) -> int:
    """A line a file, the last changed first."""
    async with _catalog(session) as (database, _):
        found = await States(database=database).list(Which(states=tuple(states), store=store, limit=limit))
    if as_json:
        sys.stdout.write(json.dumps([msgspec.to_builtins(each) for each in found], indent=2) + "\n")
        return 0
    table = Table("file", "name", "store", "state", "since", "tries", "worker", "why")
    for each in found:
        why = f"{each.reason}: {each.error}" if each.reason else each.error
        since = _ago(each.updated_s)
        table.add_row(
            each.file_id, each.filename, each.store, _shown(each), since, str(each.attempts), each.worker, why
        )
    Console().print(table if found else "There are none.")
    return 0


async def one(session: Session, file_id: str) -> int:
    """All that is known of a file, in each store that has it."""
    async with _catalog(session) as (database, _):
        found = await States(database=database).list(Which(file_id=file_id))
    if not found:
        raise NotFound("file", file_id)
    sys.stdout.write(json.dumps([msgspec.to_builtins(each) for each in found], indent=2) + "\n")
    return 0


async def retry(session: Session, file_ids: Sequence[str], *, failed: bool, store: str | None) -> int:
    """Files that failed wait again; a running server sees it within seconds."""
    if bool(file_ids) == failed:
        raise InvalidRequest("Name files, or say --failed for all that failed.")
    async with _catalog(session) as (database, _):
        states = States(database=database)
        which = Which(states=("failed", "cancelled"), store=store, limit=ALL)
        found = await states.list(which)
        wanted = [each for each in found if each.status == "failed"] if failed else []
        for file_id in file_ids:
            mine = [each for each in found if each.file_id == file_id]
            if not mine:
                raise NotFound("failed file", file_id)
            wanted += mine
        await states.retry([(each.store_id, each.file_id) for each in wanted])
    sys.stderr.write(f"{len(wanted)} files wait again.\n")
    return 0


async def dead(session: Session, *, limit: int, as_json: bool) -> int:
    """Messages that were given up, with their reasons."""
    async with _catalog(session) as (_, queue):
        letters = await queue.dead(limit)
    if as_json:
        sys.stdout.write(json.dumps([_of_letter(letter) for letter in letters], indent=2) + "\n")
        return 0
    table = Table("id", "file", "tries", "since", "why")
    for letter in letters:
        row = _of_letter(letter)
        table.add_row(letter.id, str(row["file_id"]), str(letter.attempts), _ago(letter.buried_s), letter.reason)
    Console().print(table if letters else "There are no dead letters.")
    return 0


async def replay(session: Session, ids: Sequence[str], *, every: bool) -> int:
    """Dead letters go back into the queue, and their files wait again."""
    if bool(ids) == every:
        raise InvalidRequest("Name dead letters, or say --all.")
    async with _catalog(session) as (database, queue):
        letters = await queue.dead(ALL)
        chosen = [letter for letter in letters if every or letter.id in ids]
        if missing := set(ids) - {letter.id for letter in chosen}:
            raise NotFound("dead letter", min(missing))
        # The catalog first: a message without its job would be taken for done.
        await States(database=database).revive([ticket for letter in chosen if (ticket := _ticket(letter))])
        replayed = await queue.replay([letter.id for letter in chosen])
    sys.stderr.write(f"{replayed} dead letters are in the queue again.\n")
    return 0


@asynccontextmanager
async def _catalog(session: Session) -> AsyncIterator[tuple[Database, Queue]]:
    folder = Path(session.settings.data_dir)
    if not await asyncio.to_thread((folder / CATALOG_FILE).exists):
        raise NotFound("data folder", str(folder))
    database = Database(path=folder / CATALOG_FILE, busy_timeout_s=session.settings.catalog.busy_timeout_s)
    queue = make_queue(settings=session.settings.queue, environ=os.environ, database=database)
    try:
        await database.start()
        await queue.start()
        yield database, queue
    finally:
        await queue.stop()
        await database.stop()


def _ticket(letter: DeadLetter) -> Ticket | None:
    try:
        return msgspec.json.decode(letter.body, type=Ticket)
    except msgspec.MsgspecError:
        return None


def _of_letter(letter: DeadLetter) -> dict[str, object]:
    ticket = _ticket(letter)
    return {
        "id": letter.id,
        "store_id": ticket.store_id if ticket else "",
        "file_id": ticket.file_id if ticket else "",
        "reason": letter.reason,
        "attempts": letter.attempts,
        "buried_s": letter.buried_s,
    }


def _shown(state: FileState) -> str:
    """A job that waits is never called stuck: it says what it waits for."""
    if state.status != "queued":
        return state.status
    if state.sent_s is None:
        return "queued (not yet in the queue)"
    wait_s = (state.due_s or 0.0) - time.time()
    return f"queued (again in {wait_s:.0f} s)" if wait_s > 1 else "queued"


def _ago(at_s: float) -> str:
    seconds = max(0.0, time.time() - at_s)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
