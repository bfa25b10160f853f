"""A run of writes, edits and deletions on every store that a node keeps, saying what was acknowledged.

`python -m tests.crash.script` is a process that has imported everything and forks one run for each line it is given:
starting Python anew for thousands of kills would take hours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.catalog.attachments import Attachments
from penstock.catalog.database import Database
from penstock.catalog.jobs import Jobs
from penstock.catalog.ledger import Ledger
from penstock.catalog.originals import Originals
from penstock.catalog.stores import Stores
from penstock.config import SearchSettings
from penstock.core.context import start_context
from penstock.core.errors import NotFound
from penstock.core.types import Chunk, Document, Principal, Store
from penstock.embed.encoders import Encoders
from penstock.ingest.chunk import chunk_document, embedding_text
from penstock.ingest.records import document_of
from penstock.ingest.source import SourceItem
from penstock.pipeline.attaching import Attaching
from penstock.pipeline.backlog import Backlog
from penstock.pipeline.desk import Desk
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.document import Ingestion
from penstock.pipeline.outbox import Outbox
from penstock.pipeline.recovery import recover
from penstock.pipeline.writers import Writers
from penstock.queue.sqlite import SqliteQueue
from penstock.search.edge import EdgeIndex
from penstock.telemetry.metrics import Metrics
from tests.hashing import DIMENSION, HashingEmbedder, WordTokenizer

FILES = 6
GO_WITHIN_S = 30.0


class Step(NamedTuple):
    """What to do with a file: `version` of its text, or its end where that is 0. `upload` are bytes to keep."""

    file: str
    version: int
    upload: bytes


def steps(seed: int, count: int) -> Iterator[Step]:
    dice = random.Random(seed)
    for number in range(1, count + 1):
        gone = dice.random() < 0.2
        upload = dice.randbytes(dice.choice((10, 5_000))) if dice.random() < 0.3 else b""
        yield Step(f"f{dice.randrange(FILES)}", 0 if gone else number, upload)


def text_of(file: str, version: int) -> str:
    """Several passages, of which an edit changes some."""
    same = f"{file} keeps these words in every edition. " * 6
    return f"{same}\n\n{file} has version{version} now. " + f"Part of version{version} of {file}. " * (5 + version % 9)


class Node:
    """Catalog, index and originals in one folder."""

    def __init__(self, folder: Path, *, min_free_bytes: int = 1) -> None:
        folder.mkdir(exist_ok=True)
        self.database = Database(path=folder / "catalog.db")
        self.ledger = Ledger(database=self.database)
        self.stores = Stores(database=self.database)
        self.originals = Originals(folder=folder / "files", max_bytes=10**9, min_free_bytes=min_free_bytes)
        self.index = EdgeIndex(
            folder=folder / "stores" / "s", store_id="s", model="hashing-64", dimension=DIMENSION,
            settings=SearchSettings(threads=1, min_free_bytes=min_free_bytes),
        )  # fmt: skip
        self._indexes = IndexDirectory(open_index=lambda _: self.index)
        jobs, writers = Jobs(database=self.database), Writers()
        desk = Desk(
            stores=self.stores, ledger=self.ledger, jobs=jobs, originals=self.originals, indexes=self._indexes,
            writers=writers, metrics=Metrics(),
        )  # fmt: skip
        self.attaching = Attaching(
            stores=self.stores, attachments=Attachments(database=self.database), indexes=self._indexes, desk=desk,
            outbox=Outbox(jobs=jobs, queue=SqliteQueue(database=self.database)), backlog=Backlog(jobs=jobs, most=1),
            encoders=Encoders(HashingEmbedder()), writers=writers,
        )  # fmt: skip
        self.store = Store(id="", tenant="", name="", embedder="", dimension=DIMENSION, created_s=0.0)
        self.ctx = start_context(principal=Principal(tenant="t"), timeout_s=600)

    async def start(self) -> None:
        await self.database.start()
        self.store = await self.stores.named("t", "s", embedder="hashing-64", dimension=DIMENSION)
        self.originals.tidy(
            {path.name for path in (self.originals.path("x").parent).glob("*") if path.suffix != ".part"}
        )
        await self._indexes.of(self.store)
        await recover(self.store, self.index, self.ledger, self.ctx)
        await self.attaching.start()

    async def stop(self) -> None:
        await self._indexes.stop()
        await self.database.stop()

    async def ingest(self, file: str, version: int) -> None:
        line = msgspec.json.encode({"_id": file, "title": "", "text": text_of(file, version)})
        source = SourceItem(
            identity=file, name=file, stamp=str(version), size_bytes=len(line), kind="record", line=line
        )
        run = Ingestion(
            store=self.store, index=self.index, embedder=HashingEmbedder(), reader=LineReader(), records=self.ledger,
            metrics=Metrics(), file_id=lambda identity: identity,
        )  # fmt: skip
        await run.run([source], self.ctx)

    async def delete(self, file: str) -> None:
        with contextlib.suppress(NotFound):
            await self.attaching.detach(self.store, file, self.ctx)

    def keep(self, content: bytes) -> str:
        incoming = self.originals.receive()
        incoming.write(content)
        return incoming.keep()


class LineReader:
    """Reads records without a sandbox."""

    fingerprint = "1"

    async def parse(self, content: bytes, source: object, *, tenant: str) -> Document:
        return document_of(content)

    async def split(self, document: Document, *, tenant: str, store_id: str, file_id: str) -> list[Chunk]:
        return chunk_document(
            document, tokenizer=WordTokenizer(), max_tokens=40, merge_below_tokens=0, language="en",
            namespace=f"{tenant}{store_id}{file_id}",
        )  # fmt: skip

    def embedding_text(self, document: Document, chunk: Chunk) -> str:
        return embedding_text(document.title, chunk, max_tokens=40)


async def run(folder: Path, seed: int, count: int, say: Path) -> None:
    """All steps, then a stop. Every line of `say` is a promise kept, or one that begins."""
    with say.open("a", buffering=1) as out:
        node = Node(folder)
        await node.start()
        for number, step in enumerate(steps(seed, count)):
            out.write(f"begin {step.file} {step.version}\n")
            if step.upload:
                out.write(f"kept {node.keep(step.upload)}\n")
            await (node.ingest(step.file, step.version) if step.version else node.delete(step.file))
            out.write(f"done {step.file} {step.version}\n")
            if number == count // 2:
                await node.index.stop()  # closing and opening write too
                await node.index.start()
        await node.stop()
        out.write("end\n")


def serve() -> None:
    """`folder seed count say go` a line; answers with the pid of a fork that begins when the file `go` is there."""
    for line in sys.stdin:
        folder, seed, count, say, go = line.split("\t")
        pid = os.fork()
        if not pid:
            until_s = time.monotonic() + GO_WITHIN_S
            while not os.path.exists(go.strip()) and time.monotonic() < until_s:  # noqa: PTH110 - no more calls than needed
                time.sleep(0.002)
            asyncio.run(run(Path(folder), int(seed), int(count), Path(say)))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        os.waitpid(pid, 0)
        sys.stdout.write("ended\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
