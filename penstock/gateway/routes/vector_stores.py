"""`/v1/vector_stores`: list, look at, search."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET

from penstock.core.errors import InvalidRequest
from penstock.core.types import FileStatus, Found, Hit, Store
from penstock.gateway.directory import FileLedger, StoreCatalog, used
from penstock.gateway.filters import read_filters
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Headers, Reply
from penstock.gateway.wire.vector_stores import (
    ExpiresAfter,
    FileCounts,
    ListQuery,
    SearchContent,
    SearchPage,
    SearchRequest,
    SearchResult,
    StoreInfo,
    VectorStore,
    VectorStoreList,
)
from penstock.pipeline.question import Question, QuestionPipeline
from penstock.telemetry.timings import Timings

encode = msgspec.json.Encoder().encode

DEFAULT_RESULTS = 10
AT_REST: frozenset[FileStatus] = frozenset({"completed", "failed", "cancelled"})


class VectorStores:
    """Reading of stores. Everything is asked for by the caller's tenant."""

    def __init__(self, *, stores: StoreCatalog, ledger: FileLedger, questions: QuestionPipeline) -> None:
        self._stores = stores
        self._ledger = ledger
        self._questions = questions

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path="/v1/vector_stores",
                name="listVectorStores",
                summary="The caller's stores, page by page.",
                handle=self.list,
                query=ListQuery,
                answer=VectorStoreList,
            ),
            Operation(
                method="GET",
                path="/v1/vector_stores/{vector_store_id}",
                name="getVectorStore",
                summary="One store, by id or name.",
                handle=self.get,
                answer=VectorStore,
            ),
            Operation(
                method="POST",
                path="/v1/vector_stores/{vector_store_id}/search",
                name="searchVectorStore",
                summary="The chunks of a store that fit a question best.",
                handle=self.search,
                body=SearchRequest,
                answer=SearchPage,
                ends_with_caller=True,
                door="search",
            ),
        ]

    async def list(self, call: Call) -> Reply:
        query: ListQuery = call.query
        stores = await self._stores.list(call.ctx.principal.tenant)
        page, has_more = paged(stores, query)
        data = await asyncio.gather(*(described(store, self._ledger) for store in page))
        return Reply(
            body=encode(
                VectorStoreList(
                    data=list(data),
                    first_id=page[0].id if page else "",
                    last_id=page[-1].id if page else "",
                    has_more=has_more,
                )
            )
        )

    async def get(self, call: Call) -> Reply:
        store = await self._stores.get(call.ctx.principal.tenant, call.path("vector_store_id"))
        return Reply(body=encode(await described(store, self._ledger)))

    async def search(self, call: Call) -> Reply:
        asked: SearchRequest = call.body
        texts = [asked.query] if isinstance(asked.query, str) else asked.query
        filters = read_filters(asked.filters)
        store = await self._stores.get(call.ctx.principal.tenant, call.path("vector_store_id"))
        await used(self._stores, store)
        limit = asked.max_num_results or DEFAULT_RESULTS
        rerank = asked.ranking_options is None or asked.ranking_options.ranker != "none"
        questions = [
            Question(text=text, stores=(store,), limit=limit, filters=filters, rerank=rerank) for text in texts
        ]
        if len(questions) == 1:
            answers = [await self._questions.search(questions[0], call.ctx)]
        else:
            answers = await asyncio.gather(*(self._questions.search(question, call.ctx) for question in questions))
        hits = best_of([found for found, _ in answers], limit)
        threshold = (asked.ranking_options and asked.ranking_options.score_threshold) or 0.0
        page = SearchPage(search_query=texts, data=[result(hit) for hit in hits if hit.score >= threshold])
        return Reply(body=encode(page), headers=report(answers))


async def described(store: Store, ledger: FileLedger) -> VectorStore:
    """A store in OpenAI's shape."""
    files = file_counts(await ledger.counts(store.id))
    expires_s, days = store.expires_s, store.expires_after_days
    expired = expires_s is not None and expires_s <= time.time()
    return VectorStore(
        id=store.id,
        created_at=int(store.created_s),
        name=store.name,
        usage_bytes=await ledger.usage_bytes(store.id),
        file_counts=files,
        status="expired" if expired else "in_progress" if files.in_progress else "completed",
        penstock=StoreInfo(embedder=store.embedder, dimension=store.dimension),
        last_active_at=int(store.last_active_s),
        metadata=store.metadata,
        expires_after=UNSET if days is None else ExpiresAfter(anchor="last_active_at", days=days),
        expires_at=None if expires_s is None else int(expires_s),
    )


def paged(stores: Sequence[Store], query: ListQuery) -> tuple[Sequence[Store], bool]:
    """One page, and whether there is more behind it (before it, when going back). Raises InvalidRequest."""
    ordered = sorted(stores, key=lambda store: (store.created_s, store.id), reverse=query.order == "desc")
    places = {store.id: place for place, store in enumerate(ordered)}
    first, last = 0, len(ordered)
    if query.after is not None:
        first = _place(places, query.after, "after") + 1
    if query.before is not None:
        last = _place(places, query.before, "before")
    window = ordered[first:last]
    if query.before is not None and query.after is None:
        return window[-query.limit :], len(window) > query.limit
    return window[: query.limit], len(window) > query.limit


def _place(places: Mapping[str, int], identifier: str, param: str) -> int:
    if identifier not in places:
        raise InvalidRequest(f"'{param}' is not the id of one of your stores.", param=param)
    return places[identifier]


def file_counts(counts: Mapping[FileStatus, int]) -> FileCounts:
    """The ledger's states in OpenAI's: whatever is not at rest is in progress."""
    return FileCounts(
        in_progress=sum(number for status, number in counts.items() if status not in AT_REST),
        completed=counts.get("completed", 0),
        failed=counts.get("failed", 0),
        cancelled=counts.get("cancelled", 0),
        total=sum(counts.values()),
    )


def best_of(founds: Sequence[Found], limit: int) -> Sequence[Hit]:
    """Several queries' hits as one list: each chunk once, with its best score."""
    if len(founds) == 1:
        return founds[0].hits
    best: dict[str, Hit] = {}
    for found in founds:
        for hit in found.hits:
            known = best.get(hit.chunk.id)
            if known is None or hit.score > known.score:
                best[hit.chunk.id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.file_id, hit.chunk.position))[:limit]


def result(hit: Hit) -> SearchResult:
    """A hit in OpenAI's shape."""
    return SearchResult(
        file_id=hit.file_id,
        filename=hit.filename,
        score=hit.score,
        attributes=hit.attributes,
        content=[SearchContent(text=hit.chunk.text)],
    )


def report(answers: Sequence[tuple[Found, Timings]]) -> Headers:
    """Timings and what did not answer, as headers: OpenAI's page has no place for them and allows no other field."""
    stages: dict[str, float] = {}
    missing: list[str] = []
    for found, timings in answers:
        missing += found.missing
        missing += found.degraded
        for name, seconds in timings.seconds.items():
            if seconds > stages.get(name, -1.0):
                stages[name] = seconds
    timing = ", ".join([f"{name};dur={seconds * 1000:.3f}" for name, seconds in stages.items()])
    headers: Headers = ((b"server-timing", timing.encode()),)
    if missing:
        headers += ((b"x-penstock-degraded", "; ".join(sorted(set(missing))).encode("ascii", "replace")),)
    return headers
