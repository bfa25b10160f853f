"""Cutting one block that is over the token budget, at the weakest place there is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import msgspec
from sentencex import get_sentence_boundaries

from penstock.core.ports import Tokenizer
from penstock.core.types import BlockKind

WORD = re.compile(r"\S+\s*")
LINE = re.compile(r"[^\n]*\n?")
ITEM = re.compile(r"(?:[^\n]*\n?)(?:[ \t]+[^\n]*\n?)*")
PARAGRAPH = re.compile(r"(?:[^\n]*\S[^\n]*\n?)+(?:[ \t]*\n)*|(?:[ \t]*\n)+")
MAX_CHARS_A_TOKEN = 16
"""A tokenizer may take a run of any length for one unknown token; a passage is bounded in characters too."""
LONGEST_WORD_CHARS = 64
"""A run of characters without white space is cut into pieces of this size: it is no word of any language."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the document's text. `header` is put before it: the first rows of the table it was cut from."""

    start: int
    end: int
    kind: BlockKind
    tokens: int
    page: int = 0
    header: str = ""


Splitter = Callable[[str, int, int, str], Iterator[tuple[int, int]]]
"""Cuts `text[start:end]` into adjoining spans that cover it."""


def cut(text: str, block: Span, budget: int, tokenizer: Tokenizer, language: str) -> list[Span]:
    """The block itself when it fits, else pieces of about equal size, none over the budget."""
    if _fits(block, budget):
        return [block]
    if block.kind == "table":
        return _cut_table(text, block, budget, tokenizer, language)
    ways = WAYS[block.kind]
    return [_trimmed(text, piece) for piece in _cut(text, block, budget, tokenizer, language, ways)]


def _cut(
    text: str, block: Span, budget: int, tokenizer: Tokenizer, language: str, ways: tuple[Splitter, ...]
) -> list[Span]:
    """Try the first way of splitting; pieces that are still too long are split the next way."""
    spans = list(ways[0](text, block.start, block.end, language))
    counts = tokenizer.count([text[start:end] for start, end in spans])
    units: list[Span] = []
    for (start, end), tokens in zip(spans, counts, strict=True):
        unit = msgspec.structs.replace(block, start=start, end=end, tokens=tokens)
        if _fits(unit, budget) or len(ways) == 1:
            units.append(unit)
        else:
            units += _cut(text, unit, budget, tokenizer, language, ways[1:])
    return _balanced(units, budget)


def _fits(piece: Span, budget: int) -> bool:
    return piece.tokens <= budget and piece.end - piece.start <= budget * MAX_CHARS_A_TOKEN


def _balanced(units: list[Span], budget: int) -> list[Span]:
    """Units packed into the fewest pieces, these as equal as the units allow."""
    total = sum(unit.tokens for unit in units)
    target = math.ceil(total / max(1, math.ceil(total / budget)))
    pieces: list[Span] = []
    for unit in units:
        last = pieces[-1] if pieces else None
        if last is not None and last.tokens + unit.tokens <= budget and last.tokens + unit.tokens // 2 < target:
            pieces[-1] = msgspec.structs.replace(last, end=unit.end, tokens=last.tokens + unit.tokens)
        else:
            pieces.append(unit)
    return pieces


def _cut_table(text: str, block: Span, budget: int, tokenizer: Tokenizer, language: str) -> list[Span]:
    """Rows in groups, each group with the header, so that a number still has its column's name."""
    lines = text[block.start : block.end].splitlines(keepends=True)
    header = "".join(lines[:2]) if len(lines) > 2 else ""
    header_tokens = tokenizer.count([header])[0] if header else 0
    if header_tokens > budget // 2:
        header, header_tokens = "", 0
    pieces = _cut(text, block, budget - header_tokens, tokenizer, language, WAYS["table"])
    return [
        _trimmed(text, piece)
        if index == 0
        else msgspec.structs.replace(_trimmed(text, piece), header=header, tokens=piece.tokens + header_tokens)
        for index, piece in enumerate(pieces)
    ]


def _trimmed(text: str, piece: Span) -> Span:
    """Without the white space around it; a piece of nothing else stays as it is."""
    words = text[piece.start : piece.end]
    stripped = words.strip()
    if not stripped:
        return piece
    start = piece.start + len(words) - len(words.lstrip())
    return msgspec.structs.replace(piece, start=start, end=start + len(stripped))


def _by(pattern: re.Pattern[str]) -> Splitter:
    def split(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:  # noqa: ARG001 - a Splitter
        for match in pattern.finditer(text, start, end):
            if match.end() > match.start():
                yield match.span()

    return split


def _sentences(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    for boundary in get_sentence_boundaries(language, text[start:end]):
        if boundary["end_index"] > boundary["start_index"]:
            yield start + boundary["start_index"], start + boundary["end_index"]


def _words(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:  # noqa: ARG001 - a Splitter
    """Words, leading white space with the first; what is too long for a word in slices."""
    position = start
    for match in WORD.finditer(text, start, end):
        while match.end() - position > LONGEST_WORD_CHARS:
            yield position, position + LONGEST_WORD_CHARS
            position += LONGEST_WORD_CHARS
        yield position, match.end()
        position = match.end()


WAYS: dict[BlockKind, tuple[Splitter, ...]] = {
    "heading": (_sentences, _words),
    "paragraph": (_sentences, _words),
    "list": (_by(ITEM), _sentences, _words),
    "table": (_by(LINE), _words),
    "code": (_by(PARAGRAPH), _by(LINE), _words),
}
"""From the weakest place to the strongest."""
