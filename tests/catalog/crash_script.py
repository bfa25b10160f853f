"""What a crash-point trial does to a catalog, its queue and its originals: a list of operations, each acknowledged.

`python -m tests.catalog.crash_script` is a parent that forks a child for each line it reads, so that a trial costs a
fork and not the start of an interpreter. A child stops itself until whoever traces it lets it go on.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from penstock.catalog.attachments import Attachments, Wanted
from penstock.catalog.database import Database
from penstock.catalog.files import Files
from penstock.catalog.jobs import Assignment, Jobs, Ticket
from penstock.catalog.keys import Keys
from penstock.catalog.ledger import Ledger
from penstock.catalog.originals import Originals
from penstock.catalog.stores import Stores
from penstock.core.messages import Lease, QueueMessage, Verdict
from penstock.core.types import FileRecord
from penstock.queue.sqlite import SqliteQueue

NOW_S = 4e9
LEASE_S = 1000.0
MODEL = "hashing-64"
PR_SET_PTRACER, ANYBODY = 0x59616D61, ctypes.c_ulong(-1)


class Trial:
    """The parts of a data folder that are SQLite and plain files, and what the script remembers of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(path=folder / "catalog.db")
        self.stores = Stores(database=self.database)
        self.files = Files(database=self.database)
        self.ledger = Ledger(database=self.database)
        self.attachments = Attachments(database=self.database)
        self.jobs = Jobs(database=self.database)
        self.keys = Keys(database=self.database)
        self.queue = SqliteQueue(database=self.database, lease_s=LEASE_S, now_s=lambda: NOW_S)
        self.originals = Originals(folder=folder / "files", max_bytes=1 << 20, min_free_bytes=0)
        self.store: str = ""
        self.ids: dict[str, str] = {}
        self.leased: dict[str, Lease] = {}
        self.began: dict[str, Assignment] = {}

    async def open(self) -> None:
        await self.database.start()
        await self.queue.start()
        self.originals.tidy(await self.files.contents())

    async def reopen(self) -> None:
        """As a server starts that finds what another left."""
        await self.open()
        await self.jobs.reopen(inside="inside-", now_s=NOW_S, lease_s=LEASE_S, pause_s=lambda _tries: 0.0)
        await self.queue.release()
        await self.database.stop()

    # --- operations -------------------------------------------------------------------------

    async def make_store(self) -> None:
        self.store = (await self.stores.create("default", "docs", embedder=MODEL, dimension=8)).id

    async def upload(self, name: str) -> None:
        incoming = self.originals.receive()
        incoming.write(f"The text of {name}. ".encode() * 50)
        file = await self.files.add(
            tenant="default", filename=name, purpose="assistants", sha256=incoming.keep(), size_bytes=1000
        )
        self.ids[name] = file.id

    async def attach(self, *names: str) -> None:
        wanted = [Wanted(file_id=self.ids[name], attributes={"name": name}) for name in names]
        await self.attachments.attach_batch("default", self.store, wanted)

    async def put(self) -> None:
        tickets = await self.jobs.unsent(100)
        await self.queue.put([QueueMessage(id=each.job_id, body=msgspec.json.encode(each)) for each in tickets])

    async def mark_sent(self) -> None:
        await self.jobs.sent([each.job_id for each in await self.jobs.unsent(100)], now_s=NOW_S)

    async def lease(self) -> None:
        names = {file_id: name for name, file_id in self.ids.items()}
        for lease in await self.queue.lease(100, wait_s=0):
            self.leased[names[self.ticket(lease).file_id]] = lease

    async def begin(self, *names: str) -> None:
        tickets = [self.ticket(self.leased[name]) for name in names]
        answers = await self.jobs.begin(tickets, worker="inside-1", models=[MODEL], now_s=NOW_S, lease_s=LEASE_S)
        for name, answer in zip(names, answers, strict=True):
            assert isinstance(answer, Assignment), answer
            self.began[name] = answer

    async def index(self, *names: str) -> None:
        def indexing(_lease: str, record: FileRecord) -> FileRecord:
            return msgspec.structs.replace(record, status="indexing", pending_version="v1", pending_chunks=1)

        await self.jobs.advance([self.began[name].lease for name in names], indexing)

    async def complete(self, *names: str) -> None:
        records = await self.ledger.known(self.store, [self.ids[name] for name in names])
        await self.jobs.finish(
            [
                msgspec.structs.replace(each, status="completed", version="v1", chunks=1, pending_version=None)
                for each in records.values()
            ]
        )

    async def put_back(self, name: str) -> None:
        await self.jobs.put_back([self.began[name].lease], due_s=NOW_S, counted=True, error="a try")

    async def settle(self, kind: Any, *names: str) -> None:
        await self.queue.settle([Verdict(lease=self.leased[name], kind=kind, reason="poison") for name in names])

    async def replay(self) -> None:
        await self.queue.replay([letter.id for letter in await self.queue.dead(10)])

    async def detach(self, name: str) -> None:
        await self.attachments.detach(self.store, self.ids[name], at_rest=False)

    async def finished(self, name: str) -> None:
        await self.attachments.finished(self.store, self.ids[name])

    async def forget(self, name: str) -> None:
        await self.files.forget("default", self.ids[name])

    async def make_key(self, name: str) -> None:
        await self.keys.create(secret=b"s" * 32, name=name)

    @staticmethod
    def ticket(lease: Lease) -> Ticket:
        return msgspec.json.decode(lease.message.body, type=Ticket)

    # --- what is there ----------------------------------------------------------------------

    def dump(self) -> str:
        """Everything, by names that are the same in every run."""
        connection = sqlite3.connect(self.folder / "catalog.db")
        said = {row[0] for row in connection.execute("PRAGMA integrity_check")}
        # SQLite 3.40 says so of a column that comes before one of the primary key, without any NULL in it.
        assert said - {"NULL value in batch_files.store_id"} <= {"ok"}, said
        names = dict(connection.execute("SELECT id, filename FROM files"))
        seen: dict[str, Any] = {
            "stores": connection.execute("SELECT name, deleting FROM stores").fetchall(),
            "files": sorted(connection.execute("SELECT filename, sha256 FROM files")),
            "rows": sorted(
                connection.execute(
                    "SELECT filename, status, version, pending_version, attributes, attempts, error FROM store_files"
                ),
                key=repr,
            ),
            "jobs": sorted(
                (names.get(row[0], "?"), *row[1:])
                for row in connection.execute("SELECT file_id, tries, sent_s IS NULL, lease IS NULL FROM jobs")
            ),
            "messages": sorted(
                (names.get(json.loads(row[0])["file_id"], "?"), *row[1:])
                for row in connection.execute(
                    "SELECT body, attempts, token IS NULL, coalesce(reason, '') FROM messages"
                )
            ),
            "unfinished": sorted(connection.execute("SELECT change FROM unfinished")),
            "batches": sorted(connection.execute("SELECT count(*) FROM batch_files GROUP BY batch_id")),
            "keys": sorted(connection.execute("SELECT name FROM keys")),
        }
        connection.close()
        missing = {row[1] for row in seen["files"]} - {path.name for path in (self.folder / "files").iterdir()}
        assert not missing, "a file was acknowledged and its content is not there"
        return json.dumps(seen, sort_keys=True)


def operations(trial: Trial) -> list[Callable[[], Awaitable[None]]]:
    """Each is one transaction, or one step that is acknowledged."""
    steps: list[Callable[[], Awaitable[None]]] = [trial.make_store]

    def add(work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        steps.append(lambda: work(*arguments))

    for number in range(4):
        a, b, c = (f"{kind}{number}" for kind in "abc")
        for name in (a, b, c):
            add(trial.upload, name)
        add(trial.attach, a, b)
        add(trial.attach, c)
        for work in (trial.put, trial.mark_sent, trial.lease):
            add(work)
        add(trial.begin, a, b)
        add(trial.index, a)
        add(trial.complete, a)
        add(trial.settle, "ack", a)
        add(trial.put_back, b)
        add(trial.settle, "bury", b)
        add(trial.replay)
        add(trial.begin, c)
        add(trial.index, c)
        add(trial.detach, a)
        add(trial.finished, a)
        add(trial.forget, a)
        add(trial.complete, c)
        add(trial.settle, "retry", c)
        add(trial.make_key, f"key{number}")
    return steps


async def run(folder: Path, acknowledge: Callable[[int], None]) -> None:
    trial = Trial(folder)
    await trial.open()
    acknowledge(0)
    for number, operation in enumerate(operations(trial), start=1):
        await operation()
        acknowledge(number)
    await trial.database.stop()


def child(mode: str, folder: Path, said: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    if mode == "run":
        asyncio.run(run(folder, lambda number: os.write(said, f"{number}\n".encode()) and None))
    else:
        asyncio.run(Trial(folder).reopen())


def main() -> None:
    """Lines are `mode folder`; what is answered is the child's id. Its acknowledgements go to the file `acks`."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        mode, name = line.split()
        folder = Path(name)
        said = os.open(folder / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        pid = os.fork()
        if pid == 0:
            try:
                child(mode, folder, said)
            finally:
                os._exit(0)
        os.close(said)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
