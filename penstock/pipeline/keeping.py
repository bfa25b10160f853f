"""Stores come and go, and uploaded files. A deletion that has been answered is final, also after a crash."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from penstock.catalog.attachments import Attachments
from penstock.catalog.files import Files, new_file
from penstock.catalog.originals import Incoming, Originals
from penstock.catalog.partial import PartialUpload, PartialUploads
from penstock.catalog.stores import Stores
from penstock.core.context import Context
from penstock.core.types import Store, StoredFile
from penstock.pipeline.attaching import Attaching
from penstock.pipeline.desk import Desk
from penstock.pipeline.directory import IndexDirectory


class StoreKeeper:
    """Deletes stores: hidden first, so that no result comes in; then index, folder and rows go."""

    def __init__(
        self, *, stores: Stores, indexes: IndexDirectory, desk: Desk, folder_of: Callable[[Store], Path]
    ) -> None:
        self._stores = stores
        self._indexes = indexes
        self._desk = desk
        self._folder_of = folder_of

    async def start(self) -> None:
        """Finish deletions that a crash broke off; before any store is opened."""
        for store in await self._stores.hidden():
            await self._erase(store)

    async def delete(self, tenant: str, identifier: str) -> None:
        """Raises NotFound."""
        store = await self._stores.get(tenant, identifier)
        async with self._desk.held(store.id):
            await self._stores.hide(tenant, store.id)
        await self._indexes.close_for_good(store)
        await self._erase(store)

    async def _erase(self, store: Store) -> None:
        folder = self._folder_of(store)
        await asyncio.to_thread(_remove, folder)
        await self._stores.forget(store.id)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


class FileKeeper:
    """Uploaded files. One lock orders what is kept and what is removed: the same content may belong to both."""

    def __init__(
        self, *, files: Files, originals: Originals, attachments: Attachments, attaching: Attaching, stores: Stores
    ) -> None:
        self._files = files
        self._originals = originals
        self._attachments = attachments
        self._attaching = attaching
        self._stores = stores
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        wanted = await self._files.contents()
        await asyncio.to_thread(self._originals.tidy, wanted)

    async def receive(self) -> Incoming:
        """Somewhere to put a file that is arriving. Raises DiskFull."""
        return await asyncio.to_thread(self._originals.receive)

    async def keep(self, incoming: Incoming, *, tenant: str, filename: str, purpose: str) -> StoredFile:
        """The file, durable. Raises DiskFull."""
        async with self._lock:
            sha256 = await asyncio.to_thread(incoming.keep)
            return await self._files.add(
                tenant=tenant, filename=filename, purpose=purpose, sha256=sha256, size_bytes=incoming.size_bytes
            )

    async def keep_assembled(self, incoming: Incoming, upload: PartialUpload, uploads: PartialUploads) -> PartialUpload:
        """The file out of an upload's parts, durable together with the upload's end. Raises Conflict, DiskFull."""
        async with self._lock:
            sha256 = await asyncio.to_thread(incoming.keep)
            file = new_file(
                tenant=upload.tenant,
                filename=upload.filename,
                purpose=upload.purpose,
                sha256=sha256,
                size_bytes=incoming.size_bytes,
            )
            return await uploads.completed(upload, file)

    async def delete(self, tenant: str, identifier: str, ctx: Context) -> None:
        """Out of every store, and then gone. Raises NotFound."""
        file = await self._files.get(tenant, identifier)
        for store_id in await self._attachments.stores_of(tenant, file.id):
            await self._attaching.detach(await self._stores.get(tenant, store_id), file.id, ctx)
        async with self._lock:
            if await self._files.forget(tenant, file.id):
                await asyncio.to_thread(self._originals.remove, file.sha256)
