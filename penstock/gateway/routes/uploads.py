"""`/v1/uploads`: files that arrive in parts."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec import UNSET, UnsetType

from penstock.catalog.partial import PartialUpload
from penstock.catalog.parts import MAX_PART_BYTES
from penstock.config import Settings
from penstock.core.errors import InvalidRequest, NotFound, TooLarge
from penstock.gateway.multipart import clean_name, known_fields, read_form
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.routes.files import shown as shown_file
from penstock.gateway.wire.files import File
from penstock.gateway.wire.uploads import CompleteUpload, CreateUpload, PartForm, Upload, UploadPart
from penstock.pipeline.uploads import Uploads

encode = msgspec.json.Encoder().encode


class UploadsInParts:
    """Everything is done for the caller's tenant."""

    def __init__(self, *, uploads: Uploads, settings: Settings, executor: ThreadPoolExecutor) -> None:
        self._uploads = uploads
        self._keeper = uploads.partial_keeper
        self._max_bytes = settings.ingest.max_file_bytes
        self._timeout_s = settings.server.max_timeout_s
        self._executor = executor

    def operations(self) -> list[Operation]:
        path = "/v1/uploads/{upload_id}"
        return [
            Operation(
                method="POST",
                path="/v1/uploads",
                name="createUpload",
                summary="Begin to upload a file in parts.",
                handle=self.create,
                body=CreateUpload,
                answer=Upload,
                scope="write",
            ),
            Operation(
                method="POST",
                path=f"{path}/parts",
                name="addUploadPart",
                summary="Upload a part. Parts may come in any order, and several at once.",
                handle=self.add_part,
                form=PartForm,
                answer=UploadPart,
                scope="write",
            ),
            Operation(
                method="POST",
                path=f"{path}/complete",
                name="completeUpload",
                summary="Put the parts together: then the file is there, as if it had been uploaded at once.",
                handle=self.complete,
                body=CompleteUpload,
                answer=Upload,
                scope="write",
            ),
            Operation(
                method="POST",
                path=f"{path}/cancel",
                name="cancelUpload",
                summary="Give an upload up.",
                handle=self.cancel,
                answer=Upload,
                scope="write",
            ),
        ]

    async def create(self, call: Call) -> Reply:
        asked: CreateUpload = call.body
        if asked.bytes > self._max_bytes:
            raise TooLarge(f"The file is over the limit of {self._max_bytes} bytes.", param="bytes")
        try:
            filename = clean_name(asked.filename)
        except InvalidRequest as error:
            error.param = "filename"
            raise
        upload = await self._keeper.uploads.create(
            tenant=call.ctx.principal.tenant,
            filename=filename,
            purpose=asked.purpose,
            mime_type=asked.mime_type,
            size_bytes=asked.bytes,
        )
        return await self._shown(upload)

    async def add_part(self, call: Call) -> Reply:
        assert call.receive is not None, "operations with a form have it"
        tenant, upload_id = call.ctx.principal.tenant, call.path("upload_id")
        incoming = await self._keeper.receive(tenant, upload_id)
        try:
            form = await read_form(
                scope=call.scope,
                receive=call.receive,
                incoming=incoming,
                executor=self._executor,
                max_bytes=MAX_PART_BYTES,
                timeout_s=self._timeout_s,
                part="data",
            )
            known_fields(form, frozenset())
            part = await self._keeper.keep(incoming, tenant=tenant, upload_id=upload_id)
        finally:
            await asyncio.to_thread(incoming.abandon)
        return Reply(body=encode(UploadPart(id=part.id, created_at=int(part.created_s), upload_id=upload_id)))

    async def complete(self, call: Call) -> Reply:
        asked: CompleteUpload = call.body
        upload = await self._keeper.complete(
            call.ctx.principal.tenant, call.path("upload_id"), asked.part_ids, md5=asked.md5
        )
        return await self._shown(upload)

    async def cancel(self, call: Call) -> Reply:
        return await self._shown(await self._keeper.cancel(call.ctx.principal.tenant, call.path("upload_id")))

    async def _shown(self, upload: PartialUpload) -> Reply:
        file: File | UnsetType = UNSET
        if upload.file_id is not None:
            try:
                file = shown_file(await self._uploads.files.get(upload.tenant, upload.file_id))
            except NotFound:
                file = UNSET  # deleted since
        body = msgspec.convert(
            {
                "id": upload.id,
                "bytes": upload.size_bytes,
                "created_at": int(upload.created_s),
                "expires_at": int(upload.expires_s),
                "filename": upload.filename,
                "purpose": upload.purpose,
                "status": upload.status,
            },
            Upload,
        )
        return Reply(body=encode(msgspec.structs.replace(body, file=file)))
