"""Text becomes the sparse vectors of BM25."""

from __future__ import annotations

from qdrant_edge import Bm25, Bm25Config, SparseVector

from penstock.core.types import Entry


class Words:
    """BM25 weights of passages and questions; the shard multiplies in how rare each word is in the store.

    `mean_words` is a constant of the store, not the running mean of what is in it: a passage's
    weights then depend on the passage alone, so the same content always gives the same index, in whatever
    order it came. docs/why/search.md shows how little the exact value matters.
    """

    def __init__(self, *, mean_words: float, language: str) -> None:
        self._model = Bm25(Bm25Config(avg_len=mean_words, language=language, ascii_folding=True))

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
