"""`/v1/embeddings`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from penstock.gateway.wire.base import Answered, Asked, TimeoutS


class EmbeddingRequest(Asked, frozen=True):
    """Texts to embed. `model` is `auto` or the name of the server's encoder."""

    input: Annotated[str | list[Any], Meta(description="A text, or up to 2,048; lists of token ids are not taken.")]
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None
    timeout: TimeoutS | None = None


class Embedding(Answered, frozen=True):
    """One text's vector: numbers, or their bytes (float32, little-endian) in base64."""

    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingUsage(Answered, frozen=True):
    """Tokens, as the encoder counts them."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Answered, frozen=True):
    """The vectors, in the order of the texts."""

    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    object: Literal["list"] = "list"
