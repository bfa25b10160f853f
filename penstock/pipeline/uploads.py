"""Everything that uploaded files need between the gateway and the disk, put together in one place."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from penstock.catalog.attachments import Attachments
from penstock.catalog.database import Database
from penstock.catalog.files import Files
from penstock.catalog.jobs import Jobs
from penstock.catalog.ledger import Ledger
from penstock.catalog.originals import Originals
from penstock.catalog.partial import PartialUploads
from penstock.catalog.parts import Parts
from penstock.catalog.stores import Stores
from penstock.core.ports import Queue
from penstock.embed.encoders import Encoders
from penstock.pipeline.attaching import Attaching
from penstock.pipeline.backlog import Backlog
from penstock.pipeline.backoff import pause_s
from penstock.pipeline.desk import Desk
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.keeping import FileKeeper, StoreKeeper
from penstock.pipeline.outbox import Outbox
from penstock.pipeline.partial import PartialKeeper
from penstock.pipeline.preparing import SizedReader
from penstock.pipeline.work import Work
from penstock.pipeline.writers import Writers
from penstock.telemetry.metrics import Metrics

INSIDE = "inside-"
"""How names of the server's own workers begin; those of others never do."""


class Uploads:
    """Started in two steps, around the opening and recovery of the stores. Nothing runs until `work.step` is called."""

    def __init__(
        self,
        *,
        folder: Path,
        database: Database,
        queue: Queue,
        indexes: IndexDirectory,
        encoders: Encoders,
        make_reader: Callable[[str], SizedReader],
        metrics: Metrics,
        max_bytes: int,
        min_free_bytes: int,
        max_backlog: int = 100_000,
        lease_s: float = 30.0,
        parallel_parses: int = 4,
        pause_s: Callable[[int], float] = pause_s,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.encoders = encoders
        self.indexes = indexes
        self.writers = Writers()
        self.queue = queue
        self.metrics = metrics
        self._now_s = now_s
        self._pause_s = pause_s
        self.ledger = Ledger(database=database)
        self.stores = Stores(database=database)
        self.files = Files(database=database)
        self.attachments = Attachments(database=database)
        self.jobs = Jobs(database=database)
        self.originals = Originals(folder=folder / "files", max_bytes=max_bytes, min_free_bytes=min_free_bytes)
        self.backlog = Backlog(jobs=self.jobs, most=max_backlog)
        self.outbox = Outbox(jobs=self.jobs, queue=queue, now_s=now_s)
        self.desk = Desk(
            stores=self.stores,
            ledger=self.ledger,
            jobs=self.jobs,
            originals=self.originals,
            indexes=indexes,
            writers=self.writers,
            metrics=metrics,
            lease_s=lease_s,
            pause_s=pause_s,
            now_s=now_s,
        )
        self.work = Work(
            name=f"{INSIDE}{secrets.token_hex(4)}",
            server=self.desk,
            queue=queue,
            encoders=encoders,
            make_reader=make_reader,
            parallel_parses=parallel_parses,
        )
        self._keep(folder)
        self.partial_keeper = PartialKeeper(
            uploads=PartialUploads(database=database, now_s=now_s),
            parts=Parts(folder=folder / "parts", min_free_bytes=min_free_bytes),
            files=self.file_keeper,
        )

    def _keep(self, folder: Path) -> None:
        self.attaching = Attaching(
            stores=self.stores,
            attachments=self.attachments,
            indexes=self.indexes,
            desk=self.desk,
            outbox=self.outbox,
            backlog=self.backlog,
            encoders=self.encoders,
            writers=self.writers,
        )
        self.store_keeper = StoreKeeper(
            stores=self.stores,
            indexes=self.indexes,
            desk=self.desk,
            folder_of=lambda store: folder / "stores" / store.id,
        )
        self.file_keeper = FileKeeper(
            files=self.files,
            originals=self.originals,
            attachments=self.attachments,
            attaching=self.attaching,
            stores=self.stores,
        )

    async def start_before_stores(self) -> None:
        """Finish the deletion of stores."""
        await self.store_keeper.start()

    async def start_after_stores(self) -> None:
        """Once every store has recovered: finish changes of files, and let what was under way wait again."""
        await self.file_keeper.start()
        await self.partial_keeper.start()
        await self.attaching.start()
        await self.queue.start()
        lease_s = self.desk.lease_s
        if await self.jobs.reopen(inside=INSIDE, now_s=self._now_s(), lease_s=lease_s, pause_s=self._pause_s):
            self.outbox.wake.set()

    async def stop(self) -> None:
        """After whoever calls `work.step` has stopped."""
        await self.work.stop()
        await self.desk.stop()
        await self.queue.stop()
