"""`/v1/vector_stores`: making, changing, deleting."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from penstock.gateway.wire.base import Answered, Asked
from penstock.gateway.wire.vector_stores import ExpiresAfter

Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
NewName = Annotated[str, Meta(max_length=256)]
FileIds = Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=500)]
Chunking = Annotated[
    dict[str, Any], Meta(description="`auto`, or `static` with a size that the encoder reads at once.")
]


class CreateVectorStore(Asked, frozen=True):
    """A new store, and files to attach to it."""

    name: NewName | None = None
    description: Annotated[str, Meta(max_length=512)] | None = None
    file_ids: FileIds | None = None
    chunking_strategy: Chunking | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class ModifyVectorStore(Asked, frozen=True):
    """What is left out stays as it is."""

    name: NewName | None = None
    expires_after: ExpiresAfter | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class VectorStoreDeleted(Answered, frozen=True):
    """It is gone."""

    id: str
    deleted: bool = True
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
