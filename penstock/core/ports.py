"""The seams. Each is a Protocol of few methods that speaks only our types.

Constructors take keywords and do no I/O; `start` and `stop`, where they exist, are called once each
by whoever assembled the object.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

from penstock.core.context import Context
from penstock.core.messages import DeadLetter, Lease, QueueMessage, Verdict
from penstock.core.types import Delta, Entry, Found, Hit, Prompt, Query, Removal, Vector, Vectors

TextKind = Literal["query", "passage"]


class Embedder(Protocol):
    """Text becomes vectors."""

    @property
    def model(self) -> str:
        """Identity of model, weights and pooling: vectors of two models never share a store."""
        ...

    @property
    def dimension(self) -> int: ...

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        """float32 [n, dimension], rows L2-normalised, in the order of `texts`.

        A text over the model's window is cut. Raises DeadlineExceeded, StageUnavailable.
        """
        ...


class Tokenizer(Protocol):
    """Counts tokens as the encoder sees them."""

    @property
    def max_tokens(self) -> int:
        """The encoder's window, its special tokens included; longer texts are cut."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the encoder's special tokens."""
        ...

    def cut(self, texts: Sequence[str], max_tokens: int) -> list[str]:
        """The beginning of each text, up to so many of these tokens."""
        ...


class Index(Protocol):
    """One vector store's chunks."""

    async def search(self, query: Query, vector: Vector, ctx: Context) -> Found:
        """The best `query.limit` chunks by meaning and by words together."""
        ...

    async def write(
        self, upserts: Sequence[Entry], vectors: Vectors, removals: Sequence[Removal], ctx: Context
    ) -> None:
        """Durable and visible when it returns; no search sees a part of it. Writing twice changes nothing."""
        ...


class Reranker(Protocol):
    """Hits get a better order."""

    @property
    def model(self) -> str: ...

    async def rerank(self, query: str, hits: Sequence[Hit], ctx: Context) -> list[Hit]:
        """All of `hits`, best first, each with its new `score` in 0..1.

        Raises DeadlineExceeded, Overloaded, StageUnavailable.
        """
        ...


class Generator(Protocol):
    """A prompt becomes an answer."""

    @property
    def model(self) -> str: ...

    def generate(self, prompt: Prompt, ctx: Context) -> AsyncIterator[Delta]:
        """Deltas; the last one has `finish`. Closing the iterator frees the engine's slot at once."""
        ...


class Source(Protocol):
    """One thing to ingest.

    `identity` tells it from every other source of its store, `name` is what people see of it; `stamp` changes whenever
    the content may have, and comparing it reads nothing.
    """

    @property
    def identity(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Literal["file", "record"]:
        """A record is a line of JSON Lines: `{_id, title?, text, attributes?}`."""
        ...

    @property
    def stamp(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    def read(self) -> bytes:
        """The content. Blocks; raises BadDocument."""
        ...


class Queue(Protocol):
    """Durable messages, each given to one holder at a time. All methods raise StageUnavailable while it is down.

    A message comes at least once: again when its holder neither settled nor extended it in time. What it stands for
    must be safe to do twice.
    """

    async def start(self) -> None:
        """Connect. While the server is down it returns all the same, and connects when it can."""
        ...

    async def stop(self) -> None: ...

    async def put(self, messages: Sequence[QueueMessage]) -> None:
        """All of them are durable when this returns."""
        ...

    async def lease(self, limit: int, *, wait_s: float) -> list[Lease]:
        """Up to `limit` messages that are due; waits at most `wait_s` for the first one."""
        ...

    async def extend(self, leases: Sequence[Lease]) -> None:
        """Their holder lives and works on them: their time begins again."""
        ...

    async def settle(self, verdicts: Sequence[Verdict]) -> None:
        """End leases. One that is no longer its holder's is left alone."""
        ...

    async def dead(self, limit: int) -> list[DeadLetter]:
        """Buried messages, the oldest first."""
        ...

    async def replay(self, ids: Sequence[str]) -> int:
        """Put buried messages back in the queue, as if they were new; returns how many there were."""
        ...

    async def depth(self) -> int:
        """About how many messages wait or are leased."""
        ...
