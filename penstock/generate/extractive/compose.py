"""An answer out of ranked pieces: which ones, in which order, and how they stand in the text with their citations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from penstock.core.types import Citation, Delta
from penstock.generate.extractive.scoring import Ranked, Read
from penstock.generate.extractive.sentences import shown

FAR_BEHIND = 4.0
"""A piece whose score is so much lower than the best one's (odds of 1 to 55) would only be in the way. On squad-train's
kind of questions it costs half a point of answers found and leaves 2.3 sentences of 3."""


class Chosen(msgspec.Struct, frozen=True):
    """A piece of the answer. `hit` and `piece` are places, from 0."""

    hit: int
    piece: int
    text: str


def choose(reads: Sequence[Read], ranked: Sequence[Ranked], limit: int) -> list[Chosen]:
    """The best pieces that do not say the same and are not far behind the best one, at most `limit`.

    The passage of the best piece comes first; the pieces of one passage keep the passage's order.
    """
    chosen: list[Chosen] = []
    said: set[str] = set()
    for each in ranked:
        if len(chosen) == limit or each.score < ranked[0].score - FAR_BEHIND:
            break
        one = reads[each.hit]
        text = shown(one.hit.chunk.text, one.pieces[each.piece])
        sense = " ".join(text.lower().split())
        # Versions of one document bring the same sentence several times.
        if text and not any(sense in other or other in sense for other in said):
            said.add(sense)
            chosen.append(Chosen(each.hit, each.piece, text))
    firsts = {hit: place for place, hit in reversed([(i, each.hit) for i, each in enumerate(chosen)])}
    return sorted(chosen, key=lambda each: (firsts[each.hit], each.piece))


def spoken(reads: Sequence[Read], chosen: Sequence[Chosen]) -> Iterator[Delta]:
    """One delta for each piece: its text, the passage's number in brackets, and the citation that stands there."""
    length = 0
    block_before = False
    for i, each in enumerate(chosen):
        one = reads[each.hit]
        piece = one.pieces[each.piece]
        block = piece.kind in ("code", "list")
        gap = "" if i == 0 else "\n\n" if block or block_before else " "
        block_before = block
        lead = f"{gap}{each.text}{chr(10) if block else ' '}"
        text = f"{lead}[{each.hit + 1}]"
        citation = Citation(
            number=each.hit + 1,
            index=length + len(lead),
            file_id=one.hit.file_id,
            filename=one.hit.filename,
            chunk_id=one.hit.chunk.id,
            quote=one.hit.chunk.text[piece.start : piece.end],
            start=piece.start,
            end=piece.end,
        )
        length += len(text)
        yield Delta(text=text, citations=(citation,))
