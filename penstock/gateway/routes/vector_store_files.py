"""`/v1/vector_stores/{id}/files`: files in a store."""

from __future__ import annotations

import msgspec

from penstock.catalog.attachments import Wanted
from penstock.catalog.listing import Page
from penstock.core.errors import NotFound
from penstock.core.types import AttributeValue, Entry, FailureReason, FileRecord, FileStatus, Store
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.routes.chunking import chunk_tokens, shown
from penstock.gateway.wire.vector_store_files import (
    AttachFile,
    ContentPart,
    FileInfo,
    FileState,
    LastError,
    NewAttributes,
    PassagePlace,
    StoreFileQuery,
    VectorStoreFile,
    VectorStoreFileContent,
    VectorStoreFileDeleted,
    VectorStoreFileList,
)
from penstock.pipeline.question import groups_of
from penstock.pipeline.uploads import Uploads

encode = msgspec.json.Encoder().encode

STATES: dict[FileStatus, FileState] = {"completed": "completed", "failed": "failed", "cancelled": "cancelled"}
OURS: frozenset[FailureReason] = frozenset({"timeout", "memory", "unreadable", "internal"})


class VectorStoreFiles:
    """Everything is done in a store of the caller's tenant; what is for other groups is not there."""

    def __init__(self, *, uploads: Uploads, chunk_tokens: int, max_chunk_tokens: int) -> None:
        self._uploads = uploads
        self._chunk_tokens = chunk_tokens
        self._max_chunk_tokens = max_chunk_tokens

    def operations(self) -> list[Operation]:
        return [*self._of_the_store(), *self._of_one_file()]

    def _of_the_store(self) -> list[Operation]:
        path = "/v1/vector_stores/{vector_store_id}/files"
        return [
            Operation(
                method="POST",
                path=path,
                name="createVectorStoreFile",
                summary="Attach an uploaded file: it is read, split and embedded, and then found.",
                handle=self.attach,
                body=AttachFile,
                answer=VectorStoreFile,
                scope="write",
            ),
            Operation(
                method="GET",
                path=path,
                name="listVectorStoreFiles",
                summary="The store's files, page by page.",
                handle=self.list,
                query=StoreFileQuery,
                answer=VectorStoreFileList,
            ),
        ]

    def _of_one_file(self) -> list[Operation]:
        path = "/v1/vector_stores/{vector_store_id}/files/{file_id}"
        return [
            Operation(
                method="GET",
                path=path,
                name="getVectorStoreFile",
                summary="A file of the store: how far it is, or why it failed.",
                handle=self.get,
                answer=VectorStoreFile,
            ),
            Operation(
                method="POST",
                path=path,
                name="updateVectorStoreFileAttributes",
                summary="Other attributes; nothing is embedded again.",
                handle=self.update,
                body=NewAttributes,
                answer=VectorStoreFile,
                scope="write",
            ),
            Operation(
                method="DELETE",
                path=path,
                name="deleteVectorStoreFile",
                summary="Take a file out of the store: when this is answered, no search finds it.",
                handle=self.delete,
                answer=VectorStoreFileDeleted,
                scope="write",
            ),
            Operation(
                method="GET",
                path=f"{path}/content",
                name="retrieveVectorStoreFileContent",
                summary="What was read of a file, passage by passage.",
                handle=self.content,
                answer=VectorStoreFileContent,
            ),
        ]

    async def attach(self, call: Call) -> Reply:
        asked: AttachFile = call.body
        store = await self._store(call)
        wanted = self.wanted(asked)
        record = await self._uploads.attaching.attach(store, wanted)
        return Reply(body=encode(self.shown(record)))

    async def list(self, call: Call) -> Reply:
        store = await self._store(call)
        return await self.listed(call, store, batch_id=None)

    async def listed(self, call: Call, store: Store, *, batch_id: str | None) -> Reply:
        """A page of the store's files, or of a batch's."""
        asked: StoreFileQuery = call.query
        page = Page(
            limit=asked.limit,
            newest_first=asked.order == "desc",
            after=asked.after,
            before=asked.before,
            shown=asked.state,
            groups=groups_of(call.ctx.principal),
            batch_id=batch_id,
        )
        records, has_more = await self._uploads.attachments.page(store.id, page)
        data = [self.shown(record) for record in records]
        first, last = (data[0].id, data[-1].id) if data else ("", "")
        return Reply(body=encode(VectorStoreFileList(data=data, first_id=first, last_id=last, has_more=has_more)))

    async def get(self, call: Call) -> Reply:
        _, record = await self._record(call)
        return Reply(body=encode(self.shown(record)))

    async def update(self, call: Call) -> Reply:
        asked: NewAttributes = call.body
        store, record = await self._record(call)
        record = await self._uploads.attaching.update(
            store, record.file_id, call.ctx, attributes=attributes_of(asked.attributes)
        )
        return Reply(body=encode(self.shown(record)))

    async def delete(self, call: Call) -> Reply:
        store, record = await self._record(call)
        await self._uploads.attaching.detach(store, record.file_id, call.ctx)
        return Reply(body=encode(VectorStoreFileDeleted(id=record.file_id)))

    async def content(self, call: Call) -> Reply:
        store, record = await self._record(call)
        index = await self._uploads.indexes.of(store)
        entries, _ = await index.entries_of(record.file_id)
        return Reply(body=encode(VectorStoreFileContent(data=[part_of(entry) for entry in entries])))

    # --- shapes ---------------------------------------------------------------------------

    def wanted(self, asked: AttachFile, *, param: str = "chunking_strategy") -> Wanted:
        """Raises InvalidRequest for a strategy that we do not have."""
        return Wanted(
            file_id=asked.file_id,
            attributes=attributes_of(asked.attributes),
            groups=tuple(dict.fromkeys(asked.groups or ())),
            chunk_tokens=chunk_tokens(asked.chunking_strategy, self._max_chunk_tokens, param=param),
        )

    def shown(self, record: FileRecord) -> VectorStoreFile:
        """A row of the ledger in OpenAI's shape."""
        return VectorStoreFile(
            id=record.file_id,
            created_at=int(record.created_s),
            vector_store_id=record.store_id,
            status=STATES.get(record.status, "in_progress"),
            usage_bytes=record.size_bytes if record.version is not None else 0,
            last_error=error_of(record),
            attributes=record.attributes,
            chunking_strategy=shown(record.chunk_tokens, self._chunk_tokens),
            penstock=FileInfo(
                filename=record.filename,
                size_bytes=record.size_bytes,
                state=record.status,
                passages=record.chunks,
                groups=list(record.groups),
            ),
        )

    async def _store(self, call: Call) -> Store:
        return await self._uploads.stores.get(call.ctx.principal.tenant, call.path("vector_store_id"))

    async def _record(self, call: Call) -> tuple[Store, FileRecord]:
        """Raises NotFound, also for a file that is for other groups."""
        store = await self._store(call)
        record = await self._uploads.attachments.row(store.id, call.path("file_id"))
        groups = groups_of(call.ctx.principal)
        if groups is not None and record.groups and not set(groups) & set(record.groups):
            raise NotFound("file", record.file_id)
        return store, record


def attributes_of(asked: dict[str, str | bool | float] | None) -> dict[str, AttributeValue]:
    return dict(asked or {})


def part_of(entry: Entry) -> ContentPart:
    """A passage and its place."""
    chunk = entry.chunk
    place = PassagePlace(chunk_id=chunk.id, title=entry.title, headings=list(chunk.headings), page=chunk.page)
    return ContentPart(text=chunk.text, penstock=place)


def error_of(record: FileRecord) -> LastError | None:
    """Why it failed, in OpenAI's three kinds."""
    if record.status != "failed":
        return None
    reason = record.reason or "internal"
    message = f"{reason}: {record.error or 'no more is known'}"
    if reason in OURS:
        return LastError(code="server_error", message=message)
    return LastError(code="unsupported_file" if reason == "unsupported" else "invalid_file", message=message)
