"""A document becomes passages: by its own structure first, then by the encoder's token budget.

Text is never copied about: a passage is a span of the document's text (its blocks joined by blank lines), so
`text[start:end]` is the passage, except that a table cut in pieces repeats its header in each of them.

1. Blocks under one heading path form a section; a short section joins its neighbour under the same parent.
2. A block over the budget is cut where it is weakest: rows, items, sentences, lines, words, in that order, into pieces
   of about equal size (a full piece and a crumb would make one good passage and one useless).
3. Neighbouring pieces are packed into passages up to the budget.
"""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Iterator, Sequence

import msgspec

from penstock.core.ports import Tokenizer
from penstock.core.types import Block, Chunk, Document
from penstock.ingest.cut import Span, cut

SEPARATOR = "\n\n"
SPECIAL_TOKENS = 2
"""What the encoder adds to every text."""
MAX_PREFIX_SHARE = 0.25
"""Of the budget: a title and headings longer than this are shortened in what is embedded."""
MIN_BUDGET = 24


class Section(msgspec.Struct, frozen=True):
    """Blocks under one heading path."""

    headings: tuple[str, ...]
    pieces: tuple[Span, ...]

    @property
    def tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces)


def document_text(document: Document) -> str:
    """The text that chunks' offsets point into."""
    return SEPARATOR.join(block.text for block in document.blocks)


def chunk_document(
    document: Document,
    *,
    tokenizer: Tokenizer,
    max_tokens: int,
    merge_below_tokens: int,
    language: str,
    namespace: str,
) -> list[Chunk]:
    """The document's passages in reading order; none for a document without text.

    `max_tokens` bounds a passage with its title, headings and the encoder's special tokens. `namespace` (tenant, store,
    file) goes into the ids: the same document in the same place has the same ids.
    """
    text = document_text(document)
    counts = tokenizer.count([document.title, *(block.text for block in document.blocks)])
    longest_prefix = int(max_tokens * MAX_PREFIX_SHARE)
    chunks: list[Chunk] = []
    for section in _joined(_sections(document.blocks, counts[1:]), merge_below_tokens):
        prefix = min(
            longest_prefix, counts[0] + sum(tokenizer.count(section.headings)) if section.headings else counts[0]
        )
        budget = max(MIN_BUDGET, max_tokens - SPECIAL_TOKENS - prefix)
        pieces = [part for piece in section.pieces for part in cut(text, piece, budget, tokenizer, language)]
        for group in _packed(pieces, budget):
            chunks.append(_chunk(text, group, section.headings, len(chunks), namespace))
    return chunks


def embedding_text(title: str, chunk: Chunk, *, max_tokens: int) -> str:
    """What the encoder reads: title and headings say what a passage is about, and then the passage."""
    names = [title, *(heading for heading in chunk.headings if heading != title)]
    # Four characters a token is near enough for a bound on words that only set the scene.
    context = " › ".join(name for name in names if name)[: int(max_tokens * MAX_PREFIX_SHARE) * 4]
    return f"{context}\n{chunk.text}" if context else chunk.text


def _sections(blocks: Sequence[Block], counts: Sequence[int]) -> Iterator[Section]:
    """Blocks by heading path. A heading belongs to the path of what follows, and to no passage's text."""
    path: list[tuple[int, str]] = []
    pieces: list[Span] = []
    start = 0
    for block, tokens in zip(blocks, counts, strict=True):
        end = start + len(block.text)
        if block.kind == "heading":
            if pieces:
                yield Section(tuple(name for _, name in path), tuple(pieces))
                pieces = []
            while path and path[-1][0] >= block.level:
                path.pop()
            path.append((block.level, block.text))
        elif block.text.strip():
            pieces.append(Span(start=start, end=end, kind=block.kind, page=block.page, tokens=tokens))
        start = end + len(SEPARATOR)
    if pieces:
        yield Section(tuple(name for _, name in path), tuple(pieces))


def _joined(sections: Iterator[Section], below_tokens: int) -> Iterator[Section]:
    """Short neighbours under one parent become one section, under the part of the path that they share."""
    current: Section | None = None
    for section in sections:
        if current is None:
            current = section
        elif min(current.tokens, section.tokens) < below_tokens and (shared := _shared(current, section)) is not None:
            current = Section(shared, current.pieces + section.pieces)
        else:
            yield current
            current = section
    if current is not None:
        yield current


def _shared(first: Section, second: Section) -> tuple[str, ...] | None:
    """The common heading path, if the two lie next to or directly below each other."""
    pairs = zip(first.headings, second.headings, strict=False)
    shared = tuple(above for above, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    apart = max(len(first.headings), len(second.headings)) - len(shared)
    return shared if shared and apart <= 1 else None


def _packed(pieces: Sequence[Span], budget: int) -> Iterator[list[Span]]:
    """Neighbours together up to the budget; a table's later piece stands alone, with its header."""
    group: list[Span] = []
    used = 0
    for piece in pieces:
        if group and (used + piece.tokens > budget or piece.header or group[-1].header):
            yield group
            group, used = [], 0
        group.append(piece)
        used += piece.tokens
    if group:
        yield group


def _chunk(text: str, group: Sequence[Span], headings: tuple[str, ...], position: int, namespace: str) -> Chunk:
    start, end = group[0].start, group[-1].end
    words = group[0].header + text[start:end]
    digest = hashlib.blake2b(
        f"{namespace}\x00{position}\x00{words}".encode("utf-8", "surrogatepass"), digest_size=16
    ).digest()
    return Chunk(
        id=str(uuid.UUID(bytes=digest, version=5)),
        position=position,
        text=words,
        headings=headings,
        page=group[0].page,
        start=start,
        end=end,
        tokens=sum(piece.tokens for piece in group),
    )
