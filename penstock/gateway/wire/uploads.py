"""`/v1/uploads`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from penstock.gateway.wire.base import Answered, Asked
from penstock.gateway.wire.files import File, Purpose

PartId = Annotated[str, Meta(max_length=64)]


class CreateUpload(Asked, frozen=True):
    """What will come, in parts, within an hour. `bytes` is what the parts come to, exactly."""

    filename: Annotated[str, Meta(min_length=1, max_length=1024)]
    purpose: Purpose
    bytes: Annotated[int, Meta(ge=1, le=2**53)]
    mime_type: Annotated[str, Meta(max_length=256)]


class PartForm(Asked, frozen=True):
    """A part: at most 64 MiB."""

    data: Annotated[str, Meta(extra_json_schema={"format": "binary"})]


class CompleteUpload(Asked, frozen=True):
    """The parts in their order; `md5`, in hexadecimal, is checked where it is given."""

    part_ids: Annotated[list[PartId], Meta(min_length=1, max_length=10_000)]
    md5: Annotated[str, Meta(pattern="^[0-9a-fA-F]{32}$")] | None = None


class UploadPart(Answered, frozen=True):
    """A part that is there."""

    id: str
    created_at: int
    upload_id: str
    object: Literal["upload.part"] = "upload.part"


class Upload(Answered, frozen=True):
    """A file that arrives in parts; `file` once it is complete."""

    id: str
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Purpose
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: File | UnsetType = UNSET
    object: Literal["upload"] = "upload"
