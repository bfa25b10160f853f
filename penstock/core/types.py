"""The values that travel between stages. All are frozen; a change makes a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

type_version = 1
"""Written beside stored values; raised when their meaning changes."""

Vector = NDArray[np.float32]
"""One embedding, shape [dimension], L2-normalised."""

Vectors = NDArray[np.float32]
"""Embeddings, shape [n, dimension], rows L2-normalised."""

AttributeValue = str | float | bool
"""OpenAI's attribute values; whole numbers are kept as floats."""

Attributes = Mapping[str, AttributeValue]

BlockKind = Literal["heading", "paragraph", "list", "table", "code"]


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all values here: immutable, by keyword."""


# --- who asks -----------------------------------------------------------------

Priority = Literal["interactive", "batch", "ingestion"]
"""How urgent a call is. It comes with the key, and nothing in a request raises it."""


class Allowance(Value, frozen=True):
    """What a key may use; None: what the settings give to every key."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    streams: int | None = None


class Principal(Value, frozen=True):
    """Who calls. Everything a caller may see is inside `tenant`."""

    tenant: str = "default"
    key_id: str = ""
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("read", "write", "admin", "worker")
    priority: Priority = "interactive"
    allowance: Allowance = Allowance()

    @property
    def owns_server(self) -> bool:
        """Whether what concerns all tenants concerns this caller: the tenant that is there without any keys."""
        return self.tenant == "default"


# --- documents ----------------------------------------------------------------


class Block(Value, frozen=True):
    """One structural piece of a document, in reading order.

    `text` is plain for headings and paragraphs; a list has an item a line, each beginning "- " or "1. "; a table has
    a row a line as `| a | b |`, the first its header, the second the rule `| --- | --- |`; code stands in a fence of
    backticks. `level` is 1 to 6 for headings, 0 otherwise. `page` counts from 1; 0 where the format has none.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int = 0


class Document(Value, frozen=True):
    """A file's extracted text with its structure."""

    filename: str
    title: str
    blocks: tuple[Block, ...]
    attributes: dict[str, AttributeValue] = {}


class Chunk(Value, frozen=True):
    """What is embedded and found.

    `text` is the passage as the document has it. `headings` is the path above it, outermost first.
    `start` and `end` are character offsets into the document's text (its blocks joined by blank lines).
    """

    id: str
    position: int
    text: str
    headings: tuple[str, ...] = ()
    page: int = 0
    start: int = 0
    end: int = 0
    tokens: int = 0


class Entry(Value, frozen=True):
    """One chunk as an index stores it, beside its vector (row i of the vectors given with it)."""

    chunk: Chunk
    file_id: str
    filename: str
    title: str
    version: str
    attributes: dict[str, AttributeValue] = {}
    groups: tuple[str, ...] = ()
    embedded: str = ""
    """Hash of what the encoder read: entries of a store that have the same one have the same vector."""
    sketch: str = ""
    """Of the vector as the encoder gave it. An index that keeps sketches fills it in where it is empty; a vector that
    was read from the index and is written again brings its own along, as what is stored is rounded."""


class Removal(Value, frozen=True):
    """Take out every chunk of a file, or only those that are not of `keep_version`."""

    file_id: str
    keep_version: str | None = None


# --- filters, in OpenAI's shape -----------------------------------------------

ComparisonOperator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]


class Comparison(Value, frozen=True):
    """`key` against `value`: eq, ne, gt, gte, lt, lte, in, nin."""

    type: ComparisonOperator
    key: str
    value: AttributeValue | tuple[str | float, ...]


class Compound(Value, frozen=True):
    """All (`and`) or any (`or`) of the filters."""

    type: Literal["and", "or"]
    filters: tuple[Comparison | Compound, ...]


Filter = Comparison | Compound


# --- questions and what is found -----------------------------------------------


class Query(Value, frozen=True):
    """A search in one store. `limit` bounds the hits."""

    text: str
    limit: int = 10
    filters: Comparison | Compound | None = None
    groups: tuple[str, ...] | None = None
    """The caller's groups; None means that access lists are not in use for this caller."""


class Hit(Value, frozen=True):
    """A chunk that was found. `score` orders hits and lies in 0..1; the parts are kept for judging evidence.

    `dense` is the cosine to the question, `lexical` the BM25 score, each None where that arm did not return the chunk.
    """

    store_id: str
    file_id: str
    filename: str
    chunk: Chunk
    title: str
    score: float
    dense: float | None = None
    lexical: float | None = None
    attributes: dict[str, AttributeValue] = {}


class Found(Value, frozen=True):
    """Hits, best first, and how much of the store answered (1.0 = all of it)."""

    hits: tuple[Hit, ...]
    coverage: float = 1.0
    missing: tuple[str, ...] = ()
    """Names of the shards or stages that did not answer."""
    degraded: tuple[str, ...] = ()
    """Optional steps that were left out, and why."""


# --- answers --------------------------------------------------------------------


class Message(Value, frozen=True):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class Sampling(Value, frozen=True):
    """What a caller may ask of a language model. None means the engine's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


class Prompt(Value, frozen=True):
    """A question with the passages that may answer it, ready for an engine.

    `messages` is what a language model reads; `question` and `passages` are what it was made from,
    for engines that need no language model. A passage's citation number is its place in `passages`, from 1.
    """

    question: str
    passages: tuple[Hit, ...]
    messages: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()
    grounded: bool = True
    """False where no documents were to be asked: the conversation goes to a language model as it is."""


class Citation(Value, frozen=True):
    """Where a statement of the answer comes from.

    `index` is the character offset in the answer at which the citation stands; `start` and `end` are
    the quoted sentence's character offsets in the chunk's text. `number` is the passage's place in the prompt, from 1.
    """

    number: int
    index: int
    file_id: str
    filename: str
    chunk_id: str
    quote: str = ""
    start: int = 0
    end: int = 0


class Usage(Value, frozen=True):
    """Tokens of one generation. `cached` of the prompt's came from the engine's prefix cache."""

    prompt: int = 0
    cached: int = 0
    output: int = 0


Tier = Literal["asked", "smaller", "extractive"]
"""Who answers: whoever the request and the policy want; the cheapest model; no language model."""


class Pace(Value, frozen=True):
    """How fast a model has been lately: 95 of 100 first tokens came in `first_token_s`."""

    first_token_s: float
    token_s: float


class Outlook(Value, frozen=True):
    """Who would answer a prompt, and how fast. A pace is None where nothing has been measured, or there is no model."""

    asked: Pace | None = None
    smaller: Pace | None = None
    """Of the cheapest model, where that is another."""
    is_language_model: bool = False
    may_replace: bool = False
    """Whether another model than the one asked for may answer."""


FinishReason = Literal["stop", "length", "content_filter", "error"]


class Delta(Value, frozen=True):
    """A piece of an answer. The last one carries `finish`, and whatever is only known at the end."""

    text: str = ""
    citations: tuple[Citation, ...] = ()
    finish: FinishReason | None = None
    usage: Usage | None = None
    abstained: bool = False
    confidence: float | None = None
    degraded: tuple[str, ...] = ()
    """What was left out of the best possible answer, and why."""


# --- the ledger ------------------------------------------------------------------

FileStatus = Literal["queued", "parsing", "embedding", "indexing", "completed", "failed", "cancelled"]

FailureReason = Literal[
    "unsupported",
    "empty",
    "no_text",
    "encrypted",
    "forbidden",
    "corrupt",
    "too_large",
    "timeout",
    "memory",
    "unreadable",
    "internal",
]
"""The closed list of why a file failed."""


class Store(Value, frozen=True):
    """A vector store. `embedder` is the identity of the model whose vectors it holds."""

    id: str
    tenant: str
    name: str
    embedder: str
    dimension: int
    created_s: float
    """Unix time."""
    metadata: dict[str, str] = {}
    expires_after_days: int | None = None
    last_active_s: float = 0.0

    @property
    def expires_s(self) -> float | None:
        """When it will have been left alone for too long; None: never."""
        return None if self.expires_after_days is None else self.last_active_s + self.expires_after_days * 86_400


class StoredFile(Value, frozen=True):
    """An uploaded file. Its bytes are kept once for everybody who uploaded the same (`sha256`)."""

    id: str
    tenant: str
    filename: str
    purpose: str
    sha256: str
    size_bytes: int
    created_s: float


class FileRecord(Value, frozen=True):
    """The ledger's row for one file of one store.

    `stamp` recognises an unchanged source without reading it; `version` names the content that is searchable now,
    and `pending_version` the one being written, which recovery rolls forward or back.
    """

    store_id: str
    file_id: str
    filename: str
    status: FileStatus
    stamp: str = ""
    version: str | None = None
    chunks: int = 0
    pending_version: str | None = None
    pending_chunks: int = 0
    size_bytes: int = 0
    attributes: dict[str, AttributeValue] = {}
    reason: FailureReason | None = None
    error: str = ""
    attempts: int = 0
    groups: tuple[str, ...] = ()
    """Who may find it; empty: everybody of the tenant."""
    chunk_tokens: int = 0
    """Budget of its passages; 0: the server's."""
    worker: str = ""
    """Who worked on it last."""
    created_s: float = 0.0
    updated_s: float = 0.0
    """Unix time."""


class Failure(Value, frozen=True):
    """A source that could not be ingested."""

    name: str
    reason: FailureReason
    message: str
