"""What rerank servers are sent and send back: Cohere's shape (also vLLM's, Jina's) and that of Hugging Face's TEI."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from penstock.core.errors import StageUnavailable
from penstock.rerank.order import STAGE

Api = Literal["cohere", "tei"]

encoder = msgspec.json.Encoder()


class Result(msgspec.Struct):
    """One text's score: `relevance_score` in Cohere's shape, `score` in TEI's."""

    index: int
    relevance_score: float | None = None
    score: float | None = None


class CohereReply(msgspec.Struct):
    results: list[Result]


_cohere = msgspec.json.Decoder(CohereReply)
_tei = msgspec.json.Decoder(list[Result])


def request_body(query: str, texts: Sequence[str], *, model: str, api: Api) -> bytes:
    """The JSON to send."""
    if api == "tei":
        return encoder.encode({"query": query, "texts": texts, "truncate": True, "raw_scores": False})
    body: dict[str, object] = {"query": query, "documents": texts, "top_n": len(texts)}
    return encoder.encode(body | ({"model": model} if model else {}))


def read_scores(body: bytes, *, count: int, api: Api) -> list[float]:
    """A score in 0..1 for each text, in the order sent. Raises StageUnavailable for an answer that is not whole.

    Some servers send logits: a reply with a score outside 0..1 is taken as such.
    """
    try:
        results = _tei.decode(body) if api == "tei" else _cohere.decode(body).results
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StageUnavailable(STAGE, f"the reranker sent something else than scores ({error})") from error
    scores: dict[int, float] = {}
    for result in results:
        score = result.score if api == "tei" else result.relevance_score
        if score is None or not math.isfinite(score) or not 0 <= result.index < count:
            raise StageUnavailable(STAGE, "the reranker sent a score that belongs to no text")
        scores[result.index] = score
    if len(scores) != count:
        raise StageUnavailable(STAGE, f"the reranker scored {len(scores)} of {count} texts")
    ours = [scores[place] for place in range(count)]
    return ours if all(0.0 <= score <= 1.0 for score in ours) else [_sigmoid(score) for score in ours]


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))
