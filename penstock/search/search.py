"""Questions to one segment: meaning and words in one pass, both scores for every candidate, then the chunks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from qdrant_edge import Filter as ShardFilter
from qdrant_edge import HasIdCondition, QueryRequest, ScoredPoint, SearchParams, SparseVector
from qdrant_edge import Query as ShardQuery

from penstock.config import SearchSettings
from penstock.core.errors import DataDamaged
from penstock.core.types import Found, Hit, Query, Vector
from penstock.search.filters import shard_filter
from penstock.search.fuse import Candidate, fuse
from penstock.search.live import LiveSegment
from penstock.search.points import CHECK, DENSE, ENTRY, SPARSE, entry_of, hit_of
from penstock.search.words import Words, reach

log = logging.getLogger("penstock.search")

EXACT = SearchParams(exact=True)


class Arms(NamedTuple):
    """One question as the shard understands it. `words` is None where the question has only stop words."""

    limit: int
    reach: float
    meaning: ShardQuery
    words: ShardQuery | None
    filter: ShardFilter | None


def search_segment(
    live: LiveSegment,
    questions: Sequence[tuple[Query, Vector]],
    *,
    words: Words,
    settings: SearchSettings,
    store_id: str,
) -> list[Found]:
    """Answer all questions on one state of the segment. Blocking."""
    with live.shared():
        arms = [_arms(query, vector, words, live) for query, vector in questions]
        scored = _score(live, arms, settings.candidates)
        ranked = [
            fuse(dense, lexical, reach=each.reach, settings=settings, limit=each.limit)
            for each, (dense, lexical) in zip(arms, scored, strict=True)
        ]
        wanted = {candidate.id for candidates in ranked for candidate in candidates}
        records = live.retrieve(list(wanted), [ENTRY, CHECK]) if wanted else []
    payloads = {_uuid(record.id): record.payload or {} for record in records}
    return [_found(candidates, payloads, store_id) for candidates in ranked]


def _arms(query: Query, vector: Vector, words: Words, live: LiveSegment) -> Arms:
    sparse: SparseVector = words.of_query(query.text)
    return Arms(
        limit=query.limit,
        reach=reach(len(sparse.indices), live.count()),
        meaning=ShardQuery.Nearest(vector.tolist(), using=DENSE),
        words=ShardQuery.Nearest(sparse, using=SPARSE) if sparse.indices else None,
        filter=shard_filter(query.filters, query.groups, unfinished=live.unfinished),
    )


def _score(
    live: LiveSegment, arms: Sequence[Arms], candidates: int
) -> list[tuple[dict[UUID, float], dict[UUID, float]]]:
    """Dense and lexical scores of each question's candidates.

    The first pass finds the candidates of each side; the second gives those that only one side found
    the score of the other, by id: that costs a tenth of the first.
    """
    first = iter(live.query([request for each in arms for request in _finding(each, candidates)]))
    scored = [(_scores(next(first)), _scores(next(first)) if each.words is not None else {}) for each in arms]
    second = live.query([request for each, pair in zip(arms, scored, strict=True) for request in _filling(each, pair)])
    answers = iter(second)
    for each, (dense, lexical) in zip(arms, scored, strict=True):
        only_lexical, only_dense = lexical.keys() - dense.keys(), dense.keys() - lexical.keys()
        if only_lexical:
            dense.update(_scores(next(answers)))
        if only_dense and each.words is not None:
            lexical.update(_scores(next(answers)))
    return scored


def _finding(arms: Arms, candidates: int) -> list[QueryRequest]:
    limit = max(arms.limit, candidates)
    requests = [QueryRequest(limit, query=arms.meaning, filter=arms.filter, params=EXACT)]
    if arms.words is not None:
        requests.append(QueryRequest(limit, query=arms.words, filter=arms.filter))
    return requests


def _filling(arms: Arms, scored: tuple[dict[UUID, float], dict[UUID, float]]) -> list[QueryRequest]:
    dense, lexical = scored
    requests = []
    for query, missing in ((arms.meaning, lexical.keys() - dense.keys()), (arms.words, dense.keys() - lexical.keys())):
        if query is not None and missing:
            only = ShardFilter(must=[HasIdCondition(set(missing))])
            requests.append(QueryRequest(len(missing), query=query, filter=only, params=EXACT))
    return requests


def _scores(points: Sequence[ScoredPoint]) -> dict[UUID, float]:
    return {_uuid(point.id): point.score for point in points}


def _uuid(point_id: object) -> UUID:
    assert isinstance(point_id, UUID), "all of our points have UUIDs"
    return point_id


def _found(candidates: Sequence[Candidate], payloads: dict[UUID, dict[str, Any]], store_id: str) -> Found:
    hits: list[Hit] = []
    for each in candidates:
        try:
            entry = entry_of(each.id, payloads.get(each.id, {}))
        except DataDamaged as error:
            # The rest of the store goes on answering; what is damaged is never shown.
            log.error("%s Take its file out of store %s and ingest it again.", error.message, store_id)  # noqa: TRY400 - our own message says all
            continue
        hits.append(hit_of(entry, store_id=store_id, score=each.score, dense=each.dense, lexical=each.lexical))
    if len(hits) == len(candidates):
        return Found(hits=tuple(hits))
    return Found(hits=tuple(hits), coverage=len(hits) / len(candidates), missing=("damaged passages",))
