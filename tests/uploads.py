"""Everything between the gateway and the disk that uploaded files need, assembled for tests with a hashing encoder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from penstock.catalog.attachments import Wanted
from penstock.catalog.database import Database
from penstock.config import SearchSettings
from penstock.core.context import Context, start_context
from penstock.core.errors import BadDocument
from penstock.core.ports import Queue, Source
from penstock.core.types import Block, Chunk, Document, FileRecord, Hit, Principal, Query, Store, StoredFile
from penstock.embed.encoders import Encoders
from penstock.ingest.chunk import chunk_document, embedding_text
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.recovery import recover, refill
from penstock.pipeline.uploads import Uploads
from penstock.queue.sqlite import SqliteQueue
from penstock.search.edge import EdgeIndex
from penstock.search.generation import folder_of
from penstock.telemetry.metrics import Metrics
from tests.hashing import DIMENSION, HashingEmbedder, WordTokenizer


def context(tenant: str = "default") -> Context:
    return start_context(principal=Principal(tenant=tenant), timeout_s=60.0)


class PlainReader:
    """Reads text, a paragraph a line. What begins with 'broken' is a bad document, with 'explode' a bug of ours."""

    def __init__(self, budget: int = 40, gate: asyncio.Event | None = None, only: str = "") -> None:
        """At the gate all files wait, or the one of that name."""
        self.budget = budget
        self.gate = gate
        self.only = only
        self.max_chunk_tokens = 128
        self.chunk_tokens = budget
        self.parsed: list[str] = []
        self.began: asyncio.Queue[str] = asyncio.Queue()

    @property
    def fingerprint(self) -> str:
        return f"plain:{self.budget}"

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def sized(self, chunk_tokens: int) -> PlainReader:
        if not chunk_tokens:
            return self
        other = PlainReader(chunk_tokens, self.gate, self.only)
        other.parsed, other.began = self.parsed, self.began
        return other

    async def parse(self, content: bytes, source: Source, *, tenant: str) -> Document:
        self.parsed.append(source.name)
        self.began.put_nowait(source.name)
        if self.gate is not None and source.name.endswith(self.only):
            await self.gate.wait()
        if content.startswith(b"broken"):
            raise BadDocument("corrupt", "It says so itself.")
        if content.startswith(b"explode"):
            raise RuntimeError("a bug")
        blocks = tuple(Block(kind="paragraph", text=line) for line in content.decode().splitlines() if line)
        return Document(filename=source.name, title=source.name, blocks=blocks)

    async def split(self, document: Document, *, tenant: str, store_id: str, file_id: str) -> list[Chunk]:
        return chunk_document(
            document,
            tokenizer=WordTokenizer(),
            max_tokens=self.budget,
            merge_below_tokens=0,
            language="en",
            namespace=f"{tenant}{store_id}{file_id}",
        )

    def embedding_text(self, document: Document, chunk: Chunk) -> str:
        return embedding_text(document.title, chunk, max_tokens=self.budget)


class Parts(Uploads):
    """The parts over their own catalog and indexes, with clock and reader of the test's own."""

    def __init__(
        self,
        *,
        folder: Path,
        reader: PlainReader | None = None,
        queue: Queue | None = None,
        now_s: Callable[[], float] | None = None,
        lease_s: float = 1.0,
        max_backlog: int = 100_000,
        encoders: Encoders | None = None,
        **more: Any,
    ) -> None:
        self.folder = folder
        self.now_s = 0.0
        self.reader = reader or PlainReader()
        self.database = Database(path=folder / "catalog.db")
        super().__init__(
            folder=folder,
            database=self.database,
            queue=queue or SqliteQueue(database=self.database, now_s=now_s or (lambda: self.now_s)),
            lease_s=lease_s,
            max_backlog=max_backlog,
            **more,
            indexes=IndexDirectory(open_index=self._index_of),
            encoders=encoders or Encoders(HashingEmbedder()),
            make_reader=lambda _: self.reader,
            metrics=Metrics(),
            max_bytes=1_000_000,
            min_free_bytes=0,
            now_s=now_s or (lambda: self.now_s),
        )

    async def start(self) -> None:
        """As the program starts."""
        await self.database.start()
        await self.start_before_stores()
        for store in await self.stores.list(None):
            index = await self.indexes.of(store)
            await recover(store, index, self.ledger, context(store.tenant))
            await refill(store, index, self.database)
        await self.start_after_stores()
        if isinstance(self.queue, SqliteQueue):
            await self.queue.release()
        self.now_s = 4e9  # whatever waits is due

    async def stop(self) -> None:
        await super().stop()
        await self.indexes.stop()
        await self.database.stop()

    async def store(self, name: str = "docs", tenant: str = "default") -> Store:
        return await self.stores.create(tenant, name, embedder="hashing-64", dimension=DIMENSION)

    async def upload(self, text: str, name: str = "a.txt", tenant: str = "default") -> StoredFile:
        incoming = await self.file_keeper.receive()
        incoming.write(text.encode())
        return await self.file_keeper.keep(incoming, tenant=tenant, filename=name, purpose="assistants")

    async def attach(self, store: Store, file: StoredFile, **how: object) -> FileRecord:
        wanted = Wanted(file_id=file.id, **how)  # type: ignore[arg-type]
        return await self.attaching.attach(store, wanted)

    async def step(self) -> bool:
        """What waits is carried to the queue, and one group of it is done."""
        await self.outbox.carry()
        return await self.work.step()

    async def work_off(self, at_most: int = 50) -> None:
        for _ in range(at_most):
            if not await self.step():
                if await self.jobs.next_due_s() is None:
                    return
                self.now_s += 1_000.0
        raise AssertionError("the work does not end")

    async def hits(self, store: Store, text: str, **query: object) -> Sequence[Hit]:
        vector = (await self.encoders.of(store).embed([text], context()))[0]
        index = await self.indexes.of(store)
        return (await index.search(Query(text=text, limit=20, **query), vector, context())).hits  # type: ignore[arg-type]

    async def states(self, store: Store) -> dict[str, str]:
        return {record.filename: record.status for record in await self.ledger.all(store.id)}

    async def count_jobs(self) -> int:
        return await self.database.run(lambda c: int(c.execute("SELECT count(*) FROM jobs").fetchone()[0]))

    def _index_of(self, store: Store) -> EdgeIndex:
        return EdgeIndex(
            folder=folder_of(self.folder / "stores" / store.id, store.embedder),
            store_id=store.id,
            model=store.embedder,
            dimension=store.dimension,
            settings=SearchSettings(min_free_bytes=1),
        )
