"""Everything that uploaded files need between the gateway and the disk, put together in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from penstock.catalog.attachments import Attachments
from penstock.catalog.database import Database
from penstock.catalog.files import Files
from penstock.catalog.ledger import Ledger
from penstock.catalog.originals import Originals
from penstock.catalog.partial import PartialUploads
from penstock.catalog.parts import Parts
from penstock.catalog.stores import Stores
from penstock.core.ports import Embedder
from penstock.pipeline.attaching import Attaching
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.keeping import FileKeeper, StoreKeeper
from penstock.pipeline.partial import PartialKeeper
from penstock.pipeline.work import SizedReader, UploadWork
from penstock.telemetry.metrics import Metrics


class Uploads:
    """Started in two steps, around the opening and recovery of the stores. Nothing runs until `work.step` is called."""

    def __init__(
        self,
        *,
        folder: Path,
        database: Database,
        indexes: IndexDirectory,
        embedder: Embedder,
        make_reader: Callable[[], SizedReader],
        metrics: Metrics,
        max_bytes: int,
        min_free_bytes: int,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.embedder = embedder
        self.indexes = indexes
        self.ledger = Ledger(database=database)
        self.stores = Stores(database=database)
        self.files = Files(database=database)
        self.attachments = Attachments(database=database)
        self.originals = Originals(folder=folder / "files", max_bytes=max_bytes, min_free_bytes=min_free_bytes)
        self.work = UploadWork(
            stores=self.stores,
            ledger=self.ledger,
            attachments=self.attachments,
            originals=self.originals,
            indexes=indexes,
            embedder=embedder,
            make_reader=make_reader,
            metrics=metrics,
            now_s=now_s,
        )
        self.attaching = Attaching(stores=self.stores, attachments=self.attachments, indexes=indexes, work=self.work)
        self.store_keeper = StoreKeeper(
            stores=self.stores,
            indexes=indexes,
            work=self.work,
            folder_of=lambda store: folder / "stores" / store.id,
        )
        self.file_keeper = FileKeeper(
            files=self.files,
            originals=self.originals,
            attachments=self.attachments,
            attaching=self.attaching,
            stores=self.stores,
        )
        self.partial_keeper = PartialKeeper(
            uploads=PartialUploads(database=database, now_s=now_s),
            parts=Parts(folder=folder / "parts", min_free_bytes=min_free_bytes),
            files=self.file_keeper,
        )

    async def start_before_stores(self) -> None:
        """Finish the deletion of stores."""
        await self.store_keeper.start()

    async def start_after_stores(self) -> None:
        """Once every store has recovered: finish changes of files, and let what was under way wait again."""
        await self.file_keeper.start()
        await self.partial_keeper.start()
        await self.attaching.start()

    async def stop(self) -> None:
        """After whoever calls `work.step` has stopped."""
        await self.work.stop()
