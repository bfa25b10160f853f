"""`/v1/vector_stores/{id}/files` and `/file_batches`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from penstock.core.types import AttributeValue, FileStatus
from penstock.gateway.wire.base import Answered, Asked
from penstock.gateway.wire.vector_store_changes import Chunking
from penstock.gateway.wire.vector_stores import FileCounts, ListQuery

FileState = Literal["in_progress", "completed", "failed", "cancelled"]
Attributes = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)] | bool | float],
    Meta(max_length=16),
]
Groups = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=64)]],
    Meta(max_length=64, description="Only callers of these groups find it; everybody of the tenant, where left out."),
]


class AttachFile(Asked, frozen=True):
    """A file to attach. `groups` is ours: who may find it."""

    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None
    groups: Groups | None = None


class AttachFiles(Asked, frozen=True):
    """Files to attach together: ids in `file_ids`, all in the same way, or each in its own in `files`."""

    file_ids: Annotated[list[str], Meta(min_length=1, max_length=2_000)] | None = None
    files: Annotated[list[AttachFile], Meta(min_length=1, max_length=2_000)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None
    groups: Groups | None = None


class NewAttributes(Asked, frozen=True):
    """They replace those that were there."""

    attributes: Attributes | None


class StaticSize(Answered, frozen=True):
    """How passages are cut."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int = 0


class StaticChunking(Answered, frozen=True, tag_field="type", tag="static"):
    """A fixed budget for each passage."""

    static: StaticSize


class OtherChunking(Answered, frozen=True, tag_field="type", tag="other"):
    """A budget that OpenAI's range has no place for."""


class LastError(Answered, frozen=True):
    """Why a file failed."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class FileInfo(Answered, frozen=True):
    """What OpenAI's shape has no place for. Only `groups` may find the file; everybody of the tenant, where empty."""

    filename: str
    size_bytes: int
    state: FileStatus
    passages: int
    groups: list[str]


class VectorStoreFile(Answered, frozen=True):
    """A file in a store."""

    id: str
    created_at: int
    vector_store_id: str
    status: FileState
    usage_bytes: int
    last_error: LastError | None
    attributes: dict[str, AttributeValue]
    chunking_strategy: StaticChunking | OtherChunking
    penstock: FileInfo
    object: Literal["vector_store.file"] = "vector_store.file"


class VectorStoreFileList(Answered, frozen=True):
    """One page of files."""

    data: list[VectorStoreFile]
    first_id: str
    last_id: str
    has_more: bool
    object: Literal["list"] = "list"


class StoreFileQuery(ListQuery, frozen=True):
    """Which page, and of which state only."""

    state: FileState | None = msgspec.field(default=None, name="filter")


class VectorStoreFileDeleted(Answered, frozen=True):
    """It is out of the store."""

    id: str
    deleted: bool = True
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"


class PassagePlace(Answered, frozen=True):
    """Where a passage stands in its document: headings above it, outermost first; page 0 where there are none."""

    chunk_id: str
    title: str
    headings: list[str]
    page: int


class ContentPart(Answered, frozen=True):
    """One passage."""

    text: str
    penstock: PassagePlace
    type: Literal["text"] = "text"


class VectorStoreFileContent(Answered, frozen=True):
    """What was read of a file, passage by passage."""

    data: list[ContentPart]
    has_more: bool = False
    next_page: str | None = None
    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"


class FileBatch(Answered, frozen=True):
    """Files that were attached together."""

    id: str
    created_at: int
    vector_store_id: str
    status: FileState
    file_counts: FileCounts
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
