"""Derived identities: the same source in the same store has the same id on every machine and in every run."""

from __future__ import annotations

import hashlib


def file_id_of(*, tenant: str, store_id: str, identity: str) -> str:
    """The id of a source in a store."""
    digest = hashlib.blake2b(f"{tenant}\x00{store_id}\x00{identity}".encode("utf-8", "surrogatepass"), digest_size=12)
    return f"file-{digest.hexdigest()}"


def content_version(content: bytes, salt: str) -> str:
    """Names what is searchable of a file: its bytes, and how they were turned into chunks and vectors (`salt`)."""
    digest = hashlib.blake2b(content, digest_size=16, key=hashlib.sha256(salt.encode()).digest())
    return digest.hexdigest()
