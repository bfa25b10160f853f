"""One uploaded file is read and split, for the encoder of its store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from penstock.catalog.jobs import Assignment
from penstock.core.errors import BadDocument, NotFound, PenstockError
from penstock.core.types import Value
from penstock.pipeline.desk import NOT_THE_FILES_FAULT, OURS, Finished, Unfinished
from penstock.pipeline.document import Reader
from penstock.pipeline.identity import content_version
from penstock.pipeline.reuse import text_hash

log = logging.getLogger("penstock.work")


class SizedReader(Reader, Protocol):
    """A reader with a beginning and an end, and with other budgets for passages."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def sized(self, chunk_tokens: int) -> Reader: ...


class Upload(Value, frozen=True):
    """Implements core.ports.Source for an uploaded file whose bytes are here already."""

    identity: str
    name: str
    stamp: str
    size_bytes: int
    content: bytes
    kind: Literal["file", "record"] = "file"

    def read(self) -> bytes:
        return self.content


class Prepared(msgspec.Struct, frozen=True):
    """A file that is ready to be embedded; `texts` are what the encoder reads, one for each chunk."""

    assignment: Assignment
    finished: Finished
    texts: list[str]


class Preparing:
    """Readers start when first wanted, one for each encoder."""

    def __init__(
        self,
        *,
        content: Callable[[Assignment], Awaitable[bytes]],
        make_reader: Callable[[str], SizedReader],
        at_once: int,
    ) -> None:
        """`content` gets a file's bytes; `make_reader` makes what reads files for the encoder of that identity."""
        self._content = content
        self._make_reader = make_reader
        self._parses = asyncio.Semaphore(at_once)
        self._readers: dict[str, SizedReader] = {}
        self._starting = asyncio.Lock()

    def fingerprints(self, models: Sequence[str]) -> dict[str, str]:
        """How files are read and split here, for each encoder."""
        return {model: self._make_reader(model).fingerprint for model in models}

    async def stop(self) -> None:
        while self._readers:
            _, reader = self._readers.popitem()
            await reader.stop()

    async def prepare(self, assignment: Assignment) -> Prepared | Unfinished | None:
        """None: the job is no longer ours."""
        reader = (await self._reader(assignment.embedder)).sized(assignment.chunk_tokens)
        salt = f"{assignment.embedder}\n{reader.fingerprint}"
        tenant = assignment.tenant
        try:
            async with self._parses:
                content = await self._content(assignment)
                upload = Upload(
                    identity=assignment.file_id,
                    name=assignment.filename,
                    stamp=content_version(assignment.sha256.encode(), salt),
                    size_bytes=assignment.size_bytes,
                    content=content,
                )
                document = await reader.parse(content, upload, tenant=tenant)
                chunks = await reader.split(
                    document, tenant=tenant, store_id=assignment.store_id, file_id=assignment.file_id
                )
        except BadDocument as error:
            return Unfinished(lease=assignment.lease, reason=error.reason, error=error.message)
        except NotFound:
            return None
        except Exception as error:  # noqa: BLE001 - one file's trouble is not its neighbours'
            return unfinished(assignment, error)
        texts = [reader.embedding_text(document, chunk) for chunk in chunks]
        finished = Finished(
            lease=assignment.lease,
            version=content_version(content, salt),
            stamp=upload.stamp,
            title=document.title,
            attributes=document.attributes,
            chunks=tuple(chunks),
            embedded=tuple(text_hash(text, model=assignment.embedder) for text in texts),
        )
        return Prepared(assignment, finished, texts)

    async def _reader(self, model: str) -> SizedReader:
        async with self._starting:
            if model not in self._readers:
                reader = self._make_reader(model)
                await reader.start()
                self._readers[model] = reader
            return self._readers[model]


def unfinished(assignment: Assignment, error: Exception) -> Unfinished:
    """To be tried again after an error that may be the file's fault, or ours."""
    counted = not isinstance(error, NOT_THE_FILES_FAULT)
    log.warning("%s of %s will be tried again", assignment.file_id, assignment.store_id, exc_info=error)
    said = error.message if isinstance(error, PenstockError) else f"{OURS} ({type(error).__name__})"
    return Unfinished(lease=assignment.lease, error=said, counted=counted, tries=assignment.tries)
