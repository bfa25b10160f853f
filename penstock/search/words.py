"""Text becomes the sparse vectors of BM25."""

from __future__ import annotations

import math

from qdrant_edge import Bm25, Bm25Config, SparseVector

from penstock.core.types import Entry

MEAN_WORDS = 100.0
"""Words of a middling passage; one of this length is neither favoured nor marked down. For new stores."""

SATURATION = 1.2
"""BM25's k: how soon a word's repetitions stop counting."""


def reach(question_words: int, chunks: int) -> float:
    """The BM25 score of a very good match, for a question of so many words in a store of so many chunks.

    A word that is in one chunk only, and there often, counts (k + 1) times ln(1 + (chunks - 1/2) / (3/2)).
    No chunk has all of a question's words so: the scores of right answers grow with the root of their
    number (docs/why/search.md), and a longer question does not make words weigh more than meaning.
    """
    rarest = math.log(1 + (max(chunks, 1) - 0.5) / 1.5)
    return math.sqrt(max(question_words, 1)) * (SATURATION + 1) * rarest


class Words:
    """BM25 weights of passages and questions; the shard multiplies in how rare each word is in the store.

    `mean_words` is a constant of the store, not the running mean of what is in it: a passage's
    weights then depend on the passage alone, so the same content always gives the same index, in whatever
    order it came. docs/why/search.md shows how little the exact value matters.
    """

    def __init__(self, *, mean_words: float, language: str) -> None:
        self._model = Bm25(Bm25Config(k=SATURATION, avg_len=mean_words, language=language, ascii_folding=True))

    def of_entry(self, entry: Entry) -> SparseVector:
        """A passage with the words that stand above it."""
        return self._model.embed_document(searchable_text(entry))

    def of_query(self, text: str) -> SparseVector:
        """A question. It has no indices when every word of it is a stop word."""
        return self._model.embed_query(text)


def searchable_text(entry: Entry) -> str:
    """What the words of a chunk are: its document's title, the headings above it, its text."""
    above = [entry.title, *(heading for heading in entry.chunk.headings if heading != entry.title)]
    return "\n".join([part for part in above if part] + [entry.chunk.text])
