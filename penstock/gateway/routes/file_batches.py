"""`/v1/vector_stores/{id}/file_batches`: files that are attached together."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.catalog.attachments import Batch, Wanted
from penstock.core.errors import InvalidRequest
from penstock.core.types import Store
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.routes.vector_store_files import VectorStoreFiles
from penstock.gateway.routes.vector_stores import file_counts
from penstock.gateway.wire.vector_store_files import (
    AttachFile,
    AttachFiles,
    FileBatch,
    StoreFileQuery,
    VectorStoreFileList,
)
from penstock.pipeline.uploads import Uploads

encode = msgspec.json.Encoder().encode


class FileBatches:
    """Everything is done in a store of the caller's tenant."""

    def __init__(self, *, uploads: Uploads, files: VectorStoreFiles) -> None:
        self._uploads = uploads
        self._files = files

    def operations(self) -> list[Operation]:
        path = "/v1/vector_stores/{vector_store_id}/file_batches"
        one = f"{path}/{{batch_id}}"
        return [
            Operation(
                method="POST",
                path=path,
                name="createVectorStoreFileBatch",
                summary="Attach several files, all or none.",
                handle=self.create,
                body=AttachFiles,
                answer=FileBatch,
                scope="write",
            ),
            Operation(
                method="GET",
                path=one,
                name="getVectorStoreFileBatch",
                summary="How far a batch is.",
                handle=self.get,
                answer=FileBatch,
            ),
            Operation(
                method="POST",
                path=f"{one}/cancel",
                name="cancelVectorStoreFileBatch",
                summary="Cancel what has not begun.",
                handle=self.cancel,
                answer=FileBatch,
                scope="write",
            ),
            Operation(
                method="GET",
                path=f"{one}/files",
                name="listFilesInVectorStoreBatch",
                summary="The batch's files, page by page.",
                handle=self.list,
                query=StoreFileQuery,
                answer=VectorStoreFileList,
            ),
        ]

    async def create(self, call: Call) -> Reply:
        store = await self._store(call)
        wanted = self._wanted(call.body)
        batch = await self._uploads.attaching.attach_batch(store, wanted)
        return await self._shown(batch)

    async def get(self, call: Call) -> Reply:
        store = await self._store(call)
        return await self._shown(await self._uploads.attachments.batch(store.id, call.path("batch_id")))

    async def cancel(self, call: Call) -> Reply:
        store = await self._store(call)
        return await self._shown(await self._uploads.attachments.cancel(store.id, call.path("batch_id")))

    async def list(self, call: Call) -> Reply:
        store = await self._store(call)
        batch = await self._uploads.attachments.batch(store.id, call.path("batch_id"))
        return await self._files.listed(call, store, batch_id=batch.id)

    def _wanted(self, asked: AttachFiles) -> Sequence[Wanted]:
        if (asked.file_ids is None) == (asked.files is None):
            raise InvalidRequest("Send either 'file_ids' or 'files'.", param="file_ids")
        if asked.files is not None:
            for name in ("attributes", "chunking_strategy", "groups"):
                if getattr(asked, name) is not None:
                    raise InvalidRequest(f"With 'files' each file has its own '{name}'.", param=name)
        items = asked.files or [
            AttachFile(
                file_id=file_id,
                attributes=asked.attributes,
                chunking_strategy=asked.chunking_strategy,
                groups=asked.groups,
            )
            for file_id in dict.fromkeys(asked.file_ids or ())
        ]
        if len({item.file_id for item in items}) < len(items):
            raise InvalidRequest("A file is named twice.", param="files")
        prefix = "" if asked.files is None else "files."
        return [self._files.wanted(item, param=f"{prefix}chunking_strategy") for item in items]

    async def _store(self, call: Call) -> Store:
        return await self._uploads.stores.get(call.ctx.principal.tenant, call.path("vector_store_id"))

    async def _shown(self, batch: Batch) -> Reply:
        counts = file_counts(await self._uploads.attachments.batch_counts(batch.id))
        body = FileBatch(
            id=batch.id,
            created_at=int(batch.created_s),
            vector_store_id=batch.store_id,
            status="cancelled" if batch.cancelled else "in_progress" if counts.in_progress else "completed",
            file_counts=counts,
        )
        return Reply(body=encode(body))
