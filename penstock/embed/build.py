"""The encoders that the settings name, and what stands before them: batches and shared work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.config import Settings
from penstock.core.ports import Embedder
from penstock.embed.batched import BatchedEmbedder
from penstock.embed.encoders import Encoders
from penstock.embed.openvino import OpenVinoEmbedder
from penstock.embed.shared import SharedEmbedder
from penstock.flow.batcher import BatchReport

EVERYTHING = 256
"""Questions of one pass of the encoder; what bounds it is `embed.batch_tokens`."""


class EmbedStage:
    """`embed.model`, and `embed.next` where there is one. To be used between `start` and `stop`.

    `encoders` are for documents and for whoever has many texts, `asking` are the same for questions.
    """

    def __init__(self, *, settings: Settings, observe_batch: Callable[[BatchReport], None] | None = None) -> None:
        named = [(settings.embed.model, settings.embed.revision)]
        if settings.embed.next:
            named.append((settings.embed.next, settings.embed.next_revision))
        self._ours = [_made(settings, model=model, revision=revision) for model, revision in named]
        self._batched = [_batched(settings, encoder, observe_batch) for encoder in self._ours]
        self.encoders = Encoders(*self._batched)
        sharing = settings.flow.single_flight
        asking: list[Embedder] = [SharedEmbedder(embedder=each) if sharing else each for each in self._batched]
        self.asking = Encoders(*asking)

    @property
    def current(self) -> OpenVinoEmbedder:
        """`embed.model` itself."""
        return self._ours[0]

    def start(self) -> None:
        """Load them, one after the other. Blocks. Raises ModelMissing."""
        for encoder in self._ours:
            encoder.start()

    async def stop(self) -> None:
        for batched, encoder in zip(self._batched, self._ours, strict=True):
            await batched.stop()
            await asyncio.to_thread(encoder.stop)

    def encoder(self, model: str) -> OpenVinoEmbedder:
        """The one of that identity, for its tokenizer and window."""
        return next(encoder for encoder in self._ours if encoder.model == model)


def _made(settings: Settings, *, model: str, revision: str) -> OpenVinoEmbedder:
    return OpenVinoEmbedder(
        model=model,
        revision=revision,
        precision=settings.embed.precision,
        batch_tokens=settings.embed.batch_tokens,
        threads=settings.embed.threads,
        max_tokens=settings.embed.max_tokens,
        pad_to=settings.embed.pad_to,
        documents_give_way=settings.embed.documents_give_way,
        connect_timeout_s=settings.embed.connect_timeout_s,
    )


def _batched(
    settings: Settings, encoder: OpenVinoEmbedder, observe: Callable[[BatchReport], None] | None
) -> BatchedEmbedder:
    return BatchedEmbedder(
        embedder=encoder,
        max_tokens=settings.embed.batch_tokens,
        max_items=EVERYTHING if settings.flow.batching else 1,
        workers=encoder.streams if settings.flow.batching else 1,
        observe=observe,
    )
