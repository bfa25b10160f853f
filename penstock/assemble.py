"""Settings become objects: the only file that names concrete stages, and the order in which behaviour wraps them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from penstock.catalog.database import Database
from penstock.catalog.keys import Keys
from penstock.catalog.ledger import Ledger
from penstock.catalog.responses import KeptResponses
from penstock.catalog.seen import SeenFiles
from penstock.catalog.stores import Stores
from penstock.catalog.usage import UsageDays
from penstock.config import Settings
from penstock.core.context import Context, start_context
from penstock.core.errors import BadSetting, NotFound
from penstock.core.ports import Source
from penstock.core.types import Principal, Store
from penstock.embed.build import EmbedStage
from penstock.embed.openvino import OpenVinoEmbedder
from penstock.flow.datalock import DataLock
from penstock.flow.memory import give_back_memory
from penstock.flow.pressure import Pressure
from penstock.flow.ratelimit.make import make_limiter
from penstock.generate.extractive.engine import ExtractiveGenerator
from penstock.generate.generation import Generation
from penstock.ingest.address import AddressRules
from penstock.ingest.chunk import embedding_text
from penstock.ingest.fetch import Fetcher, UrlSource, is_url
from penstock.ingest.language_data import find_language_data
from penstock.ingest.reader import FileReader
from penstock.ingest.source import Resume, walk
from penstock.models.locate import DEFAULT_MODEL
from penstock.pipeline.directory import IndexDirectory
from penstock.pipeline.document import Ingestion, Progress
from penstock.pipeline.economy import Economy
from penstock.pipeline.intake import Intake, MakeRun
from penstock.pipeline.moving import Moving
from penstock.pipeline.question import QuestionPipeline
from penstock.pipeline.ranking import Ranking
from penstock.pipeline.recovery import recover, refill
from penstock.pipeline.reembed import Reembedded
from penstock.pipeline.reorder import Reorder
from penstock.pipeline.uploads import Uploads
from penstock.pipeline.usage import UsageBook
from penstock.queue.build import make_queue
from penstock.queue.sqlite import SqliteQueue
from penstock.rerank.build import RerankStage
from penstock.rerank.similarity import SimilarityReranker
from penstock.search.batched import BatchedIndex
from penstock.search.edge import EdgeIndex
from penstock.search.generation import drop_others, folder_of
from penstock.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

CATALOG_FILE = "catalog.db"
RECOVERY_TIMEOUT_S = 600.0
SEARCHES_TOGETHER = 32


class Penstock:
    """Everything, assembled. Between `start` and `stop` it holds the data folder."""

    def __init__(self, *, settings: Settings, environ: Mapping[str, str]) -> None:
        """`environ` is where the settings' `…_env` names are looked up: API keys of language models, secrets."""
        folder = Path(settings.data_dir)
        self.settings = settings
        self.metrics = Metrics()
        self._folder = folder
        self._lock = DataLock(folder=folder)
        self._database = Database(path=folder / CATALOG_FILE, busy_timeout_s=settings.catalog.busy_timeout_s)
        self.stores = Stores(database=self._database)
        self.ledger = Ledger(database=self._database)
        self.keys = Keys(database=self._database)
        self.kept = KeptResponses(database=self._database)
        self._embed = EmbedStage(settings=settings, observe_batch=self.metrics.observe_batch)
        self.encoder = self._embed.current
        self.encoders = self._embed.encoders
        self._fetcher = Fetcher(
            rules=AddressRules(allowed=settings.ingest.url_hosts, ports=settings.ingest.url_ports),
            max_bytes=settings.ingest.url_max_bytes,
            timeout_s=settings.ingest.url_timeout_s,
        )
        self.indexes = IndexDirectory(open_index=self._index_of)
        self.queue = make_queue(settings=settings.queue, environ=environ, database=self._database)
        self.uploads = Uploads(
            folder=folder,
            database=self._database,
            queue=self.queue,
            indexes=self.indexes,
            encoders=self.encoders,
            make_reader=self._make_reader,
            metrics=self.metrics,
            max_bytes=settings.ingest.max_file_bytes,
            min_free_bytes=settings.search.min_free_bytes,
            max_backlog=settings.queue.max_backlog,
            lease_s=settings.queue.lease_s,
            parallel_parses=2 * settings.ingest.parse_workers,
        )
        self.generation = Generation(
            settings=settings.generate,
            environ=environ,
            last_resort=ExtractiveGenerator(
                max_sentences=settings.extractive.max_sentences,
                abstain_below=settings.extractive.abstain_below,
                # The evidence was fitted with this encoder's cosines; with another the words alone decide.
                cosines=settings.embed.model == DEFAULT_MODEL and not settings.embed.next,
            ),
            on_death=_report_death,
            observe=self.metrics.observe_generation,
        )
        self.metrics.watch_engines(self.generation.states)
        self.usage = UsageBook(account=self.generation.account, days=UsageDays(database=self._database))
        self._assemble_questions(environ)

    def _assemble_questions(self, environ: Mapping[str, str]) -> None:
        settings = self.settings
        self.pressure = Pressure()
        economy = Economy(settings=settings.degrade, metrics=self.metrics, pressure=self.pressure.level)
        self._rerank = RerankStage(
            settings=settings.rerank,
            environ=environ,
            observe_batch=self.metrics.observe_batch,
            observe_breaker=partial(self.metrics.observe_breaker, "rerank"),
        )
        reranker = self._rerank.reranker
        self._similarity = SimilarityReranker(
            embedder=self.encoders.current,
            dense_weight=settings.search.dense_weight,
            language=settings.search.language,
        )
        self.ranking = Ranking(
            reranker=reranker, similarity=self._similarity, max_query_chars=settings.server.max_question_chars
        )
        self.limiter = make_limiter(settings=settings.limits, environ=environ, observe=self.metrics.limits_are_local)
        self.questions = QuestionPipeline(
            encoders=self._embed.asking,
            indexes=self.indexes,
            router=self.generation.router,
            metrics=self.metrics,
            max_question_chars=settings.server.max_question_chars,
            economy=economy,
            reorder=Reorder(reranker=reranker, settings=settings.rerank, economy=economy) if reranker else None,
        )

    async def start(self, *, address: str = "", encoder: bool = True) -> None:
        """Take the data folder, open the catalog and every store, load the encoder, settle what a crash left.

        Raises Setup errors that say what to do. `address` is what a second process is told. Without the encoder there
        is nothing to ask and nothing to ingest, only to look at.
        """
        find_language_data(self.settings.ingest)  # what is missing is said now, not with the first file
        self._lock.acquire(address=address)
        await self._database.start()
        # Loading the encoder and opening the stores take about as long as each other, and neither needs the other.
        loading = asyncio.create_task(
            asyncio.to_thread(self._embed.start if encoder else _nothing), name="load-encoder"
        )
        try:
            await self.uploads.start_before_stores()
            for store in await self.stores.list(None):
                index = await self.indexes.of(store)
                ctx = start_context(principal=Principal(tenant=store.tenant), timeout_s=RECOVERY_TIMEOUT_S)
                await recover(store, index, self.ledger, ctx)
                await refill(store, index, self._database)
            await self.uploads.start_after_stores()
            if isinstance(self.queue, SqliteQueue):
                await self.queue.release()  # this process has the folder alone: whoever leased something here has ended
        finally:
            await loading
        await self.generation.start()
        self.usage.start()
        await self._similarity.start()
        if encoder:
            await self._rerank.start()
        await asyncio.to_thread(give_back_memory)

    async def stop(self) -> None:
        """Close everything, the last opened first; safe after a start that failed."""
        await self._rerank.stop()
        await self._similarity.stop()
        await self.limiter.stop()
        await self.generation.stop()
        await self.usage.stop()
        await self.uploads.stop()
        await self.indexes.stop()
        await self._embed.stop()
        await self._database.stop()
        self._lock.release()

    def announce(self, address: str) -> None:
        """Tell a second process where this one listens."""
        self._lock.announce(address=address)

    # --- documents ------------------------------------------------------------------

    def sources(self, paths: Sequence[Path | str], *, resume: Resume | None = None) -> Iterable[Source]:
        """What there is to read under paths and URLs, lazily. Raises InvalidRequest for a path that does not exist."""
        files = [Path(path) for path in paths if not is_url(str(path))]
        urls = [UrlSource(url=str(path), fetcher=self._fetcher) for path in paths if is_url(str(path))]
        return itertools.chain(walk(files, settings=self.settings.ingest, resume=resume), urls)

    async def store_for_writing(self, tenant: str, name: str) -> Store:
        """The store of that name, or one made now. Raises BadSetting when it holds another model's vectors."""
        newest = self.encoders.newest
        try:
            store = await self.stores.get(tenant, name)
        except NotFound:
            store = await self.stores.named(tenant, name, embedder=newest.model, dimension=newest.dimension)
        if store.embedder not in self.encoders.models:
            raise BadSetting(
                f"Store '{store.name}' holds vectors of {store.embedder}, and embed.model is "
                f"{self.encoders.current.model}. Ingest into another store, or set the model back."
            )
        return store

    async def ingest(
        self,
        store: Store,
        sources: Iterable[Source],
        ctx: Context,
        *,
        report: Callable[[Progress], None] | None = None,
    ) -> Progress:
        """Bring in what is new among the sources."""
        async with self._writing(store) as (store, reader):  # noqa: PLR1704 - as it is now
            run = await self._run_of(store, reader, report)(None, None)
            return await run.run(sources, ctx)

    async def bring_in(
        self,
        store: Store,
        paths: Sequence[Path | str],
        ctx: Context,
        *,
        in_step: bool = False,
        even_most: bool = False,
        report: Callable[[Progress], None] | None = None,
    ) -> Progress:
        """Bring in what is new under the paths, going on where a killed run came to.

        `in_step` takes out what is gone from them, too. Raises InvalidRequest when that is most of the store.
        """
        sources = self.sources(paths)  # says at once which path is missing
        async with self._writing(store) as (store, reader):  # noqa: PLR1704 - as it is now
            intake = Intake(
                store=store,
                folder=self._folder_of(store),
                fingerprint=f"{store.embedder} {reader.fingerprint}",
                sources=lambda resume: sources if resume is None else self.sources(paths, resume=resume),
                make_run=self._run_of(store, reader, report),
                seen=SeenFiles(database=self._database),
                detach=self.uploads.attaching.detach,
            )
            return await (intake.run_in_step(ctx, even_most=even_most) if in_step else intake.run(ctx))

    @asynccontextmanager
    async def _writing(self, store: Store) -> AsyncIterator[tuple[Store, FileReader]]:
        """A block in which the store does not move; the store as it is in it, and what reads files for its encoder."""
        async with self.uploads.writers.run(store.id):
            store = await self.stores.get(store.tenant, store.id)
            reader = self._make_reader(store.embedder)
            await reader.start()
            try:
                yield store, reader
            finally:
                await reader.stop()

    def _make_reader(self, model: str) -> FileReader:
        return make_reader(self.settings, self._embed.encoder(model))

    def _run_of(self, store: Store, reader: FileReader, report: Callable[[Progress], None] | None) -> MakeRun:
        async def make(
            seen: Callable[[Sequence[str]], Awaitable[None]] | None, settled: Callable[[Source], None] | None
        ) -> Ingestion:
            return Ingestion(
                store=store,
                index=await self.indexes.of(store),
                embedder=self.encoders.of(store),
                reader=reader,
                records=self.ledger,
                metrics=self.metrics,
                report=report,
                seen=seen,
                settled=settled,
            )

        return make

    def moving(self, *, report: Callable[[Store, Reembedded], None]) -> Moving:
        """What moves stores to the newest encoder, while they are used or not."""
        newest = self.encoders.newest
        budget = self._make_reader(newest.model).chunk_tokens
        return Moving(
            embedder=newest,
            stores=self.stores,
            ledger=self.ledger,
            indexes=self.indexes,
            writers=self.uploads.writers,
            text_of=lambda entry: embedding_text(entry.title, entry.chunk, max_tokens=budget),
            report=report,
        )

    def drop_former(self, store: Store) -> int:
        """Remove the indexes of encoders that the store does not answer with any more. Returns how many."""
        return drop_others(self._folder / "stores" / store.id, store.embedder)

    def _folder_of(self, store: Store) -> Path:
        return folder_of(self._folder / "stores" / store.id, store.embedder)

    async def dump(self, store: Store) -> AsyncIterator[str]:
        """The store's ledger and index as JSON lines in canonical order, without times."""
        for record in await self.ledger.all(store.id):
            record = msgspec.structs.replace(record, created_s=0.0, updated_s=0.0, attempts=0, worker="")  # noqa: PLW2901 - without what differs between runs
            yield msgspec.json.encode(record).decode()
        index = await self.indexes.of(store)
        assert isinstance(index, BatchedIndex), "the embedded index is the only one that is assembled here"
        for line in await index.dump():
            yield msgspec.json.encode(line).decode()

    def _index_of(self, store: Store) -> BatchedIndex:
        index = self._edge_of(store, folder=self._folder_of(store))
        return BatchedIndex(
            index=index,
            max_items=SEARCHES_TOGETHER if self.settings.flow.batching else 1,
            observe=self.metrics.observe_batch,
        )

    def _edge_of(self, store: Store, *, folder: Path) -> EdgeIndex:
        return EdgeIndex(
            folder=folder,
            store_id=store.id,
            model=store.embedder,
            dimension=store.dimension,
            settings=self.settings.search,
            reuse_vectors=self.settings.ingest.reuse_vectors,
        )


def make_reader(settings: Settings, encoder: OpenVinoEmbedder) -> FileReader:
    """What reads and splits files for that encoder, which has been started."""
    return FileReader(settings=settings.ingest, tokenizer=encoder.tokenizer)


def _report_death(name: str, error: BaseException) -> None:
    logger.error("task %s died", name, exc_info=error)


def _nothing() -> None:
    """In the place of an encoder that is not wanted."""
