"""What `chunking_strategy` asks for, and how the answer says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.core.errors import InvalidRequest, UnsupportedParameter
from penstock.gateway.wire.vector_store_files import OtherChunking, StaticChunking, StaticSize

SMALLEST, LARGEST = 100, 4096
"""OpenAI's range."""


def chunk_tokens(asked: Mapping[str, Any] | None, most: int, *, param: str = "chunking_strategy") -> int:
    """The budget of a passage; 0 leaves it to us. Raises InvalidRequest, UnsupportedParameter."""
    if asked is None or dict(asked) == {"type": "auto"}:
        return 0
    sizes = asked.get("static")
    if asked.get("type") != "static" or not isinstance(sizes, Mapping) or set(asked) != {"type", "static"}:
        raise InvalidRequest("It is {'type': 'auto'}, or {'type': 'static', 'static': {…}}.", param=param)
    for name in sizes:
        if name not in ("max_chunk_size_tokens", "chunk_overlap_tokens"):
            raise UnsupportedParameter(f"{param}.static.{name}")
    size, overlap = sizes.get("max_chunk_size_tokens"), sizes.get("chunk_overlap_tokens")
    if not isinstance(size, int) or isinstance(size, bool) or not SMALLEST <= size <= LARGEST:
        raise InvalidRequest(
            f"It is a whole number from {SMALLEST} to {LARGEST}.", param=f"{param}.static.max_chunk_size_tokens"
        )
    if size > most:
        raise UnsupportedParameter(
            f"{param}.static.max_chunk_size_tokens",
            hint=f"The encoder reads {most} tokens at once; ask for at most that, or leave it to us with 'auto'.",
        )
    if overlap is not None and overlap != 0:
        raise UnsupportedParameter(
            f"{param}.static.chunk_overlap_tokens",
            hint="Passages end where sentences and sections end, and do not overlap. Send 0.",
        )
    return size


def shown(tokens: int, ours: int) -> StaticChunking | OtherChunking:
    """The budget in OpenAI's shape."""
    size = tokens or ours
    if not SMALLEST <= size <= LARGEST:
        return OtherChunking()
    return StaticChunking(static=StaticSize(max_chunk_size_tokens=size))
