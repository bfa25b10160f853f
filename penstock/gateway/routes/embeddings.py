"""`/v1/embeddings`: the server's encoder, for whoever wants vectors of their own."""

from __future__ import annotations

import asyncio
import base64

import msgspec
import numpy as np

from penstock.core.errors import InvalidRequest, NotFound, TooLarge, UnsupportedParameter
from penstock.core.ports import Embedder, Tokenizer
from penstock.core.types import Vectors
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.wire.embeddings import Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage

encode = msgspec.json.Encoder().encode

MAX_TEXTS = 2_048
OURS = frozenset({"auto", "default"})


class Embeddings:
    """`special_tokens` is what the encoder adds to each text."""

    def __init__(self, *, embedder: Embedder, tokenizer: Tokenizer, special_tokens: int = 2) -> None:
        self._embedder = embedder
        self._tokenizer = tokenizer
        self._special_tokens = special_tokens

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="POST",
                path="/v1/embeddings",
                name="createEmbedding",
                summary="Vectors of texts.",
                handle=self.create,
                body=EmbeddingRequest,
                answer=EmbeddingList,
                ends_with_caller=True,
                door="search",
            )
        ]

    async def create(self, call: Call) -> Reply:
        asked: EmbeddingRequest = call.body
        if asked.model not in OURS and asked.model != self._embedder.model:
            raise NotFound("model", asked.model, param="model")
        if asked.dimensions not in (None, self._embedder.dimension):
            raise UnsupportedParameter("dimensions", hint=f"The encoder makes {self._embedder.dimension}.")
        texts = texts_of(asked.input)
        counts = await asyncio.to_thread(self._tokenizer.count, texts)
        most = self._tokenizer.max_tokens - self._special_tokens
        for place, count in enumerate(counts):
            if count > most:
                raise InvalidRequest(
                    f"The text has {count} tokens; the encoder reads {most}.", param=f"input[{place}]", code="too_long"
                )
        vectors = await self._embedder.embed(texts, call.ctx, kind="passage")
        tokens = sum(counts)
        answer = EmbeddingList(
            data=await asyncio.to_thread(_data, vectors, asked.encoding_format),
            model=self._embedder.model,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )
        return Reply(body=encode(answer))


def texts_of(asked: str | list[object]) -> list[str]:
    """The texts. Raises InvalidRequest, TooLarge, and UnsupportedParameter for token ids."""
    texts = [asked] if isinstance(asked, str) else asked
    if not texts:
        raise InvalidRequest("There is no text.", param="input")
    if len(texts) > MAX_TEXTS:
        raise TooLarge(f"There are {len(texts)} texts; the limit is {MAX_TEXTS}.", param="input")
    found: list[str] = []
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise UnsupportedParameter(f"input[{place}]", hint="Send texts, not token ids.")
        if not text.strip():
            raise InvalidRequest("The text is empty.", param=f"input[{place}]")
        found.append(text)
    return found


def _data(vectors: Vectors, form: str) -> list[Embedding]:
    if form == "base64":
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        return [Embedding(index=i, embedding=base64.b64encode(row.tobytes()).decode()) for i, row in enumerate(rows)]
    return [Embedding(index=i, embedding=row.tolist()) for i, row in enumerate(vectors)]
