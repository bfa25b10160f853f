"""`/v1/files`: uploaded files, whatever store they are in."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import msgspec
from starlette.types import Send

from penstock.catalog.originals import Originals
from penstock.config import Settings
from penstock.core.errors import InvalidRequest, NotFound
from penstock.core.types import StoredFile
from penstock.gateway.multipart import known_fields, read_form
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import NO_STORE, Headers, Reply
from penstock.gateway.wire.files import File, FileDeleted, FileForm, FileList, FileQuery, Purpose
from penstock.pipeline.question import groups_of
from penstock.pipeline.uploads import Uploads

encode = msgspec.json.Encoder().encode

FIELDS = frozenset({"purpose"})
PIECE_BYTES = 256 * 1024
CONTENT: Headers = (
    (b"content-type", b"application/octet-stream"),
    (b"content-disposition", b"attachment"),
    (b"content-security-policy", b"sandbox"),
    NO_STORE,
)


class Files:
    """Everything is done for the caller's tenant."""

    def __init__(self, *, uploads: Uploads, settings: Settings, executor: ThreadPoolExecutor) -> None:
        self._uploads = uploads
        self._max_bytes = settings.ingest.max_file_bytes
        self._timeout_s = settings.server.max_timeout_s
        self._executor = executor

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="POST",
                path="/v1/files",
                name="createFile",
                summary="Upload a file.",
                handle=self.create,
                form=FileForm,
                answer=File,
                scope="write",
            ),
            Operation(
                method="GET",
                path="/v1/files",
                name="listFiles",
                summary="The caller's files, page by page.",
                handle=self.list,
                query=FileQuery,
                answer=FileList,
            ),
            Operation(
                method="GET",
                path="/v1/files/{file_id}",
                name="retrieveFile",
                summary="One file.",
                handle=self.get,
                answer=File,
            ),
            Operation(
                method="GET",
                path="/v1/files/{file_id}/content",
                name="downloadFile",
                summary="A file as it was uploaded.",
                handle=self.content,
                media="application/octet-stream",
            ),
            Operation(
                method="DELETE",
                path="/v1/files/{file_id}",
                name="deleteFile",
                summary="Delete a file, and take it out of every store.",
                handle=self.delete,
                answer=FileDeleted,
                scope="write",
            ),
        ]

    async def create(self, call: Call) -> Reply:
        assert call.receive is not None, "operations with a form have it"
        incoming = await self._uploads.file_keeper.receive()
        try:
            form = await read_form(
                scope=call.scope,
                receive=call.receive,
                incoming=incoming,
                executor=self._executor,
                max_bytes=self._max_bytes,
                timeout_s=self._timeout_s,
            )
            purpose = known_fields(form, FIELDS).get("purpose")
            if purpose is None:
                raise InvalidRequest("'purpose' is missing.", param="purpose", code="missing_required_parameter")
            if purpose not in get_args(Purpose):
                raise InvalidRequest(f"'purpose' is one of {', '.join(get_args(Purpose))}.", param="purpose")
            assert form.filename is not None, "a complete form has a file"
            file = await self._uploads.file_keeper.keep(
                incoming, tenant=call.ctx.principal.tenant, filename=form.filename, purpose=purpose
            )
        finally:
            await asyncio.to_thread(incoming.abandon)
        return Reply(body=encode(shown(file)))

    async def list(self, call: Call) -> Reply:
        asked: FileQuery = call.query
        page, has_more = await self._uploads.files.page(
            call.ctx.principal.tenant,
            purpose=asked.purpose,
            after=asked.after,
            limit=asked.limit,
            newest_first=asked.order == "desc",
        )
        data = [shown(file) for file in page]
        first, last = (data[0].id, data[-1].id) if data else ("", "")
        return Reply(body=encode(FileList(data=data, first_id=first, last_id=last, has_more=has_more)))

    async def get(self, call: Call) -> Reply:
        return Reply(body=encode(shown(await self._file(call))))

    async def content(self, call: Call) -> Reply:
        file = await self._file(call)
        groups = groups_of(call.ctx.principal)
        if groups is not None and not await self._uploads.attachments.may_read(file.id, groups):
            raise NotFound("file", file.id)
        return Download(originals=self._uploads.originals, file=file)

    async def delete(self, call: Call) -> Reply:
        identifier = call.path("file_id")
        await self._uploads.file_keeper.delete(call.ctx.principal.tenant, identifier, call.ctx)
        return Reply(body=encode(FileDeleted(id=identifier)))

    async def _file(self, call: Call) -> StoredFile:
        return await self._uploads.files.get(call.ctx.principal.tenant, call.path("file_id"))


class Download(Reply):
    """A file's bytes, read by a thread as its reader takes them."""

    __slots__ = ("_file", "_originals")

    def __init__(self, *, originals: Originals, file: StoredFile) -> None:
        super().__init__(body=b"", headers=CONTENT)
        self._originals = originals
        self._file = file

    async def send(self, send: Send) -> None:
        """Piece by piece. An error after the first piece closes the connection: half a file must not look whole."""
        size_bytes = self._file.size_bytes
        piece = await asyncio.to_thread(self._originals.read, self._file.sha256, size=PIECE_BYTES)
        headers = [(b"content-length", str(size_bytes).encode()), *self.headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sent = 0
        while sent + len(piece) < size_bytes and piece:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            sent += len(piece)
            piece = await asyncio.to_thread(self._originals.read, self._file.sha256, start=sent, size=PIECE_BYTES)
        await send({"type": "http.response.body", "body": piece})


def shown(file: StoredFile) -> File:
    """A file in OpenAI's shape."""
    return msgspec.convert(
        {
            "id": file.id,
            "bytes": file.size_bytes,
            "created_at": int(file.created_s),
            "filename": file.filename,
            "purpose": file.purpose,
        },
        File,
    )
