"""A small Penstock for the gateway's tests: the real pipeline, catalog, index and extractive engine.

Only the encoder is a stand-in, a hashing one, and beside the extractive engine there is one that does as a test says.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from penstock.catalog.database import Database
from penstock.catalog.ledger import Ledger
from penstock.catalog.responses import KeptResponses
from penstock.catalog.stores import Stores, derived_id
from penstock.catalog.usage import UsageDays
from penstock.config import (
    DegradeSettings,
    FlowSettings,
    GenerateSettings,
    LimitSettings,
    RerankSettings,
    SearchSettings,
    ServerSettings,
    Settings,
)
from penstock.core.context import Context, start_context
from penstock.core.errors import NotFound
from penstock.core.ports import Generator, Reranker, TextKind
from penstock.core.types import Chunk, Delta, Entry, FileRecord, Outlook, Principal, Prompt, Store, Tier, Usage, Vectors
from penstock.embed.encoders import Encoders
from penstock.flow.pressure import Pressure
from penstock.flow.ratelimit.quota import RateLimiter
from penstock.gateway.app import create_app
from penstock.gateway.auth import Authenticator
from penstock.gateway.readiness import Readiness
from penstock.gateway.serve import bind, make_server
from penstock.generate.extractive.engine import ExtractiveGenerator
from penstock.generate.generation import Generation
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.economy import Economy
from penstock.pipeline.question import QuestionPipeline
from penstock.pipeline.ranking import Ranking
from penstock.pipeline.reorder import Reorder
from penstock.pipeline.uploads import Uploads
from penstock.pipeline.usage import UsageBook
from penstock.queue.sqlite import SqliteQueue
from penstock.rerank.similarity import SimilarityReranker
from penstock.run.dispatch import Dispatch
from penstock.run.worker import UploadWorker
from penstock.search.edge import EdgeIndex
from penstock.telemetry.metrics import Metrics
from tests.hashing import WordTokenizer
from tests.uploads import PlainReader

DIMENSION = 64

RIVERS = {
    "rhine.md": (
        "The Rhine",
        "The Rhine rises in the Swiss Alps. The Rhine is 1,233 kilometres long. It flows into the North Sea.",
        {"country": "Switzerland", "length_km": 1233.0, "tidal": True},
    ),
    "danube.md": (
        "The Danube",
        "The Danube rises in the Black Forest. The Danube is 2,850 kilometres long. It flows into the Black Sea.",
        {"country": "Germany", "length_km": 2850.0, "tidal": False},
    ),
    "elbe.md": (
        "The Elbe",
        "The Elbe rises in the Giant Mountains. The Elbe is 1,094 kilometres long. It flows into the North Sea.",
        {"country": "Czechia", "length_km": 1094.0, "tidal": True},
    ),
}


class HashingEmbedder:
    """Words, hashed into a few dozen dimensions: near enough to meaning for three documents."""

    model = "hashing-64"
    dimension = DIMENSION

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        vectors = np.full((len(texts), DIMENSION), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, zlib.crc32(word.encode()) % DIMENSION] += 1.0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class Scripted:
    """An engine that does what its test wants, and remembers what became of it."""

    model: str = "scripted"
    words: Sequence[str] = ("One", " two", " three")
    pause_s: float = 0.0
    fails: Exception | None = None
    """Raised after the words; before them when there are none."""
    ends: bool = True
    finish: str = "stop"
    started: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    prompts: list[Prompt] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)
    spoken: int = 0

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        self.prompts.append(prompt)
        self.contexts.append(ctx)
        self.started.set()
        try:
            for word in self.words:
                if self.pause_s:
                    await asyncio.sleep(self.pause_s)
                self.spoken += 1
                yield Delta(text=word)
            if self.fails is not None:
                raise self.fails
            if self.ends:
                yield Delta(finish=self.finish, usage=Usage(prompt=7, cached=2, output=3))
        finally:
            self.closed.set()


class Chosen(NamedTuple):
    """The engine that a test's router takes."""

    generator: Generator
    reason: str
    alternatives: tuple = ()


class Engines:
    """The router of these tests."""

    def __init__(self, *engines: Generator) -> None:
        self._engines = {engine.model: engine for engine in engines}

    def outlook(self, model: str | None, prompt: Prompt, ctx: Context) -> Outlook:
        return Outlook(may_replace=model is None)

    def choose(self, model: str | None, prompt: Prompt, ctx: Context, tier: Tier = "asked") -> Chosen:
        if model is None:
            return Chosen(next(iter(self._engines.values())), "the first")
        if model not in self._engines:
            raise NotFound("model", model, param="model")
        return Chosen(self._engines[model], "asked for")

    def models(self) -> Sequence[str]:
        return tuple(self._engines)


class World:
    """Everything below the gateway, and the gateway's app. Its folder has the store `rivers` after `fill`."""

    def __init__(
        self,
        *,
        folder: Path,
        engine: Scripted | None = None,
        first: str = "extractive",
        flow: FlowSettings | None = None,
        limits: LimitSettings | None = None,
        limiter: RateLimiter | None = None,
        authenticator: Authenticator | None = None,
        reranker: Reranker | None = None,
        rerank: RerankSettings | None = None,
        degrade: DegradeSettings | None = None,
        **server: object,
    ) -> None:
        self.folder = folder
        self.settings = Settings(
            data_dir=str(folder),
            flow=flow or FlowSettings(),
            rerank=rerank or RerankSettings(),
            degrade=degrade or DegradeSettings(),
            limits=limits or LimitSettings(),
            server=ServerSettings(**{"example_question": "How long is the Rhine?", **server}),
        )  # type: ignore[arg-type]
        self.metrics = Metrics()
        self.readiness = Readiness()
        self.engine = engine or Scripted()
        self.embedder = HashingEmbedder()
        self._database = Database(path=folder / "catalog.db")
        self.stores = Stores(database=self._database)
        self.ledger = Ledger(database=self._database)
        self.kept = KeptResponses(database=self._database)
        self.indexes = IndexDirectory(open_index=self._index_of)
        engines = [ExtractiveGenerator(max_sentences=2, abstain_below=0.05, cosines=False), self.engine]
        self.pressure = Pressure()
        economy = Economy(settings=self.settings.degrade, metrics=self.metrics, pressure=self.pressure.level)
        self.questions = QuestionPipeline(
            encoders=Encoders(self.embedder),
            indexes=self.indexes,
            router=Engines(*(engines if first == "extractive" else reversed(engines))),
            metrics=self.metrics,
            max_question_chars=self.settings.server.max_question_chars,
            economy=economy,
            reorder=reranker and Reorder(reranker=reranker, settings=self.settings.rerank, economy=economy),
        )
        self._similarity = SimilarityReranker(embedder=self.embedder, dense_weight=0.5, language="english")
        ranking = Ranking(reranker=reranker, similarity=self._similarity, max_query_chars=8_000)
        self.uploads = Uploads(
            folder=folder,
            database=self._database,
            queue=SqliteQueue(database=self._database),
            indexes=self.indexes,
            encoders=Encoders(self.embedder),
            make_reader=lambda _: PlainReader(),
            metrics=self.metrics,
            max_bytes=self.settings.ingest.max_file_bytes,
            min_free_bytes=0,
        )
        self._worker = UploadWorker(work=self.uploads.work)
        self._dispatch = Dispatch(uploads=self.uploads)
        generation = Generation(
            settings=GenerateSettings(), environ={}, last_resort=ExtractiveGenerator(), on_death=_report
        )
        self.app = create_app(
            questions=self.questions,
            stores=self.stores,
            ledger=self.ledger,
            metrics=self.metrics,
            settings=self.settings,
            readiness=self.readiness,
            uploads=self.uploads,
            tokenizer=WordTokenizer(),
            authenticator=authenticator,
            engines=generation,
            usage=UsageBook(account=generation.account, days=UsageDays(database=self._database)),
            ranking=ranking,
            pressure=self.pressure,
            kept=self.kept,
            limiter=limiter,
        )

    async def start(self) -> None:
        await self._database.start()
        await self.uploads.start_before_stores()
        await self.uploads.start_after_stores()
        self._dispatch.start()
        self._worker.start()
        await self._similarity.start()
        self.readiness.ready()

    async def fill(self) -> None:
        await self.add("rivers", RIVERS)

    @property
    def rivers(self) -> str:
        """The store's id."""
        return derived_id("default", "rivers")

    async def stop(self) -> None:
        await self._worker.stop()
        await self._dispatch.stop()
        await self._similarity.stop()
        await self.indexes.stop()
        await self._database.stop()

    async def add(self, name: str, documents: dict[str, tuple[str, str, dict]], *, tenant: str = "default") -> Store:
        """A store with these documents, each one chunk."""
        store = await self.stores.named(tenant, name, embedder=self.embedder.model, dimension=DIMENSION)
        ctx = start_context(principal=Principal(tenant=tenant), timeout_s=30.0)
        entries = [
            Entry(
                chunk=Chunk(id=f"chunk_{name}_{filename}", position=0, text=text, headings=(title,), end=len(text)),
                file_id=f"file_{filename.partition('.')[0]}",
                filename=filename,
                title=title,
                version="1",
                attributes=attributes,
            )
            for filename, (title, text, attributes) in documents.items()
        ]
        if entries:
            vectors = await self.embedder.embed([entry.chunk.text for entry in entries], ctx, kind="passage")
            await (await self.indexes.of(store)).write(entries, vectors, [], ctx)
        await self.ledger.put(
            FileRecord(
                store_id=store.id,
                file_id=entry.file_id,
                filename=entry.filename,
                status="completed",
                version="1",
                chunks=1,
                size_bytes=len(entry.chunk.text),
            )
            for entry in entries
        )
        return store

    def _index_of(self, store: Store) -> EdgeIndex:
        return EdgeIndex(
            folder=self.folder / "stores" / store.id,
            store_id=store.id,
            model=store.embedder,
            dimension=store.dimension,
            settings=SearchSettings(),
        )


class Live:
    """The world's gateway on a real socket, in this event loop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._sock = bind(host="127.0.0.1", port=0)
        self.port: int = self._sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = make_server(app=world.app, settings=world.settings.server, readiness=world.readiness)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._serving = asyncio.create_task(self.server.serve(sockets=[self._sock]))
        await self.server.listening.wait()

    async def stop(self) -> None:
        if self.world.readiness.state != "stopping":
            self.server.stop()
        await self.stopped()

    async def stopped(self) -> None:
        assert self._serving is not None
        await self._serving

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


def request_bytes(path: str, body: bytes, *, host: str = "127.0.0.1") -> bytes:
    """A POST of JSON as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _report(name: str, error: BaseException) -> None:
    raise AssertionError(name) from error
