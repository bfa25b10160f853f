"""`/v1/files`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from penstock.gateway.wire.base import Answered, Asked

Purpose = Literal["assistants", "user_data"]


class FileForm(Asked, frozen=True):
    """The parts of an upload."""

    file: Annotated[str, Meta(extra_json_schema={"format": "binary"})]
    purpose: Purpose


class File(Answered, frozen=True):
    """An uploaded file."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: Purpose
    status: Literal["processed"] = "processed"
    object: Literal["file"] = "file"


class FileList(Answered, frozen=True):
    """One page of files."""

    data: list[File]
    first_id: str
    last_id: str
    has_more: bool
    object: Literal["list"] = "list"


class FileQuery(Asked, frozen=True):
    """Which page: `after` is an id out of an earlier one."""

    purpose: str | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


class FileDeleted(Answered, frozen=True):
    """It is gone, and out of every store."""

    id: str
    deleted: bool = True
    object: Literal["file"] = "file"
