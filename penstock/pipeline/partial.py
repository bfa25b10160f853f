"""Files that arrive in parts: received one by one, put together once, and given up when their time is over."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from weakref import WeakValueDictionary

from penstock.catalog.originals import Incoming
from penstock.catalog.partial import Part, PartialUpload, PartialUploads
from penstock.catalog.parts import Parts
from penstock.pipeline.keeping import FileKeeper


class PartialKeeper:
    """A part is durable before its row is, and its row goes before its bytes do: what a crash leaves, `start` removes.

    An upload is put together under a lock of its own, so that nothing is done to it meanwhile.
    """

    def __init__(self, *, uploads: PartialUploads, parts: Parts, files: FileKeeper) -> None:
        self.uploads = uploads
        self._parts = parts
        self._files = files
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._arriving: set[str] = set()
        """Parts whose bytes may be there before their row is."""

    async def start(self) -> None:
        await self.uploads.expire()
        await asyncio.to_thread(self._parts.tidy, await self.uploads.wanted())

    async def receive(self, tenant: str, upload_id: str) -> Incoming:
        """Somewhere to put a part that is arriving. Raises NotFound, Conflict, DiskFull."""
        await self.uploads.pending(tenant, upload_id)
        return await asyncio.to_thread(self._parts.receive)

    async def keep(self, incoming: Incoming, *, tenant: str, upload_id: str) -> Part:
        """The part, durable. Raises NotFound, Conflict, TooLarge, DiskFull; then nothing is kept of it."""
        part = Part(
            id=f"part_{secrets.token_hex(12)}",
            upload_id=upload_id,
            size_bytes=incoming.size_bytes,
            created_s=time.time(),
        )
        self._arriving.add(part.id)
        try:
            async with self._lock(upload_id):
                await asyncio.to_thread(incoming.keep, part.id)
                try:
                    await self.uploads.add_part(tenant, upload_id, part)
                except BaseException:
                    await asyncio.to_thread(self._parts.remove, [part.id])
                    raise
        finally:
            self._arriving.discard(part.id)
        return part

    async def complete(self, tenant: str, upload_id: str, part_ids: Sequence[str], *, md5: str | None) -> PartialUpload:
        """The file out of its parts. Completing what is complete changes nothing. Raises what a caller did wrong."""
        async with self._lock(upload_id):
            upload = await self.uploads.get(tenant, upload_id)
            if upload.status == "completed":
                return upload
            await self.uploads.pending(tenant, upload_id)
            parts = await self.uploads.parts(upload, part_ids)
            incoming = await self._files.receive()
            try:
                await asyncio.to_thread(self._parts.assemble, [part.id for part in parts], incoming, md5=md5)
                upload = await self._files.keep_assembled(incoming, upload, self.uploads)
            finally:
                await asyncio.to_thread(incoming.abandon)
        await self.tidy()
        return upload

    async def cancel(self, tenant: str, upload_id: str) -> PartialUpload:
        """Raises NotFound, Conflict."""
        async with self._lock(upload_id):
            upload = await self.uploads.cancel(tenant, upload_id)
        await self.tidy()
        return upload

    async def expire(self) -> None:
        """Give up what ran out of time."""
        await self.uploads.expire()
        await self.tidy()

    async def tidy(self) -> None:
        """Remove the bytes of parts that have no row any more."""
        # In this order: a part that arrives meanwhile is not among the names.
        names = await asyncio.to_thread(self._parts.names)
        names -= self._arriving
        gone = names - await self.uploads.wanted()
        await asyncio.to_thread(self._parts.remove, gone)

    def _lock(self, upload_id: str) -> asyncio.Lock:
        return self._locks.setdefault(upload_id, asyncio.Lock())
