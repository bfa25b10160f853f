"""`/v1/vector_stores`: making, changing, deleting."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from penstock.catalog.attachments import Wanted
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.routes.chunking import chunk_tokens
from penstock.gateway.routes.vector_stores import described
from penstock.gateway.wire.vector_store_changes import CreateVectorStore, ModifyVectorStore, VectorStoreDeleted
from penstock.gateway.wire.vector_stores import VectorStore
from penstock.pipeline.uploads import Uploads

encode = msgspec.json.Encoder().encode


class VectorStoreChanges:
    """Everything is done for the caller's tenant."""

    def __init__(self, *, uploads: Uploads, max_chunk_tokens: int) -> None:
        self._uploads = uploads
        self._max_chunk_tokens = max_chunk_tokens

    def operations(self) -> list[Operation]:
        path = "/v1/vector_stores/{vector_store_id}"
        return [
            Operation(
                method="POST",
                path="/v1/vector_stores",
                name="createVectorStore",
                summary="A new store.",
                handle=self.create,
                body=CreateVectorStore,
                answer=VectorStore,
                scope="write",
            ),
            Operation(
                method="POST",
                path=path,
                name="modifyVectorStore",
                summary="Another name, metadata or expiry.",
                handle=self.modify,
                body=ModifyVectorStore,
                answer=VectorStore,
                scope="write",
            ),
            Operation(
                method="DELETE",
                path=path,
                name="deleteVectorStore",
                summary="Delete a store with all that was read into it; its uploaded files stay.",
                handle=self.delete,
                answer=VectorStoreDeleted,
                scope="write",
            ),
        ]

    async def create(self, call: Call) -> Reply:
        asked: CreateVectorStore = call.body
        tenant = call.ctx.principal.tenant
        tokens = chunk_tokens(asked.chunking_strategy, self._max_chunk_tokens)
        wanted = [Wanted(file_id=file_id, chunk_tokens=tokens) for file_id in dict.fromkeys(asked.file_ids or ())]
        for item in wanted:
            await self._uploads.files.get(tenant, item.file_id)  # before there is a store for files that are not there
        embedder = self._uploads.encoders.newest
        store = await self._uploads.stores.create(
            tenant,
            asked.name or "",
            embedder=embedder.model,
            dimension=embedder.dimension,
            metadata=_metadata(asked.metadata, asked.description),
            expires_after_days=asked.expires_after.days if asked.expires_after else None,
        )
        try:
            # Making its folder takes a while, and whoever asks all stores should not wait for it.
            await self._uploads.indexes.of(store)
        except BaseException:
            await self._uploads.store_keeper.delete(tenant, store.id)
            raise
        if wanted:
            await self._uploads.attaching.attach_batch(store, wanted)
        return Reply(body=encode(await described(store, self._uploads.ledger)))

    async def modify(self, call: Call) -> Reply:
        asked: ModifyVectorStore = call.body
        tenant = call.ctx.principal.tenant
        store = await self._uploads.stores.get(tenant, call.path("vector_store_id"))
        changes: dict[str, Any] = {}
        if asked.name is not None:
            changes["name"] = asked.name
        if asked.metadata is not UNSET:
            changes["metadata"] = asked.metadata or {}
        if asked.expires_after is not UNSET:
            changes["expires_after_days"] = asked.expires_after.days if asked.expires_after else None
            await self._uploads.stores.touch(store.id)
        store = await self._uploads.stores.modify(tenant, store.id, **changes)
        return Reply(body=encode(await described(store, self._uploads.ledger)))

    async def delete(self, call: Call) -> Reply:
        tenant = call.ctx.principal.tenant
        store = await self._uploads.stores.get(tenant, call.path("vector_store_id"))
        await self._uploads.store_keeper.delete(tenant, store.id)
        return Reply(body=encode(VectorStoreDeleted(id=store.id)))


def _metadata(metadata: dict[str, str] | None, description: str | None) -> dict[str, str]:
    """A description has no place in OpenAI's answers; it is kept where it can be read."""
    return {**(metadata or {}), **({"description": description} if description else {})}
