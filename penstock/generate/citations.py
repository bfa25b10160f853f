"""Reads the [n] of a model's answer while it streams: checked, renumbered, and turned into citations.

A number that no passage has is taken out, with its brackets. Between backticks nothing is touched: `a[0]` is code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from sentencex import segment

from penstock.core.types import Citation, Hit
from penstock.generate.prompt.fusion import words_of
from penstock.generate.prompt.marks import without
from penstock.generate.stop import overlap

CITED = re.compile(r" ?\[(\d{1,3}(?:\s?[,;]\s?\d{1,3})*)\]")
UNFINISHED = re.compile(r" ?(?:\[[\d,;\s]{0,24})?$")
NUMBER = re.compile(r"\d+")
SENTENCE_END = re.compile(r"(?<=[.!?\n])\s")
MOST_QUOTED = 64
LOOK_BACK = 400


class CitationReader:
    """`places[n-1]` says which of `passages` the model's [n] is; text leaves with the passages' own numbers.

    `mark` never leaves.
    """

    def __init__(self, *, passages: Sequence[Hit], places: Sequence[int], mark: str = "") -> None:
        self._passages, self._places, self._mark = passages, places, mark
        self._special = re.compile(rf"[\[`{re.escape(mark[:1])}]| $")
        self._held = ""
        self._length = 0
        self._said = ""
        self._in_code = False
        self._quoted = 0

    def feed(self, text: str) -> tuple[str, tuple[Citation, ...]]:
        """The text that can leave, and the citations in it."""
        if not self._held and not self._special.search(text):
            # Nearly every token: nothing in it can be, or become, a citation.
            self._length += len(text)
            self._said = self._said[-LOOK_BACK:] + text
            return text, ()
        self._held += text
        if self._mark:
            # A model that obeys a document must not teach its author the delimiter.
            self._held = without(self._mark, self._held)
        unfinished = UNFINISHED.search(self._held)
        assert unfinished is not None, "the pattern matches the empty end"
        end = min(unfinished.start(), len(self._held) - overlap(self._held, self._mark))
        ready, self._held = self._held[:end], self._held[end:]
        return self._read(ready)

    def rest(self) -> tuple[str, tuple[Citation, ...]]:
        """What was held back, when nothing more comes."""
        ready, self._held = self._held, ""
        return self._read(ready)

    def _read(self, text: str) -> tuple[str, tuple[Citation, ...]]:
        out: list[str] = []
        citations: list[Citation] = []
        done = 0
        for found in CITED.finditer(text):
            self._give(text[done : found.start()], out)
            done = found.end()
            if self._in_code:
                self._give(found.group(), out)
                continue
            for number in dict.fromkeys(int(digits) for digits in NUMBER.findall(found.group(1))):
                if 1 <= number <= len(self._places):
                    place = self._places[number - 1]
                    self._give(" " if found.group().startswith(" ") and not _ends_cited(out) else "", out)
                    citations.append(self._citation(place))
                    self._give(f"[{place + 1}]", out)
        self._give(text[done:], out)
        return "".join(out), tuple(citations)

    def _give(self, text: str, out: list[str]) -> None:
        if not text:
            return
        out.append(text)
        self._length += len(text)
        if text.count("`") % 2:
            self._in_code = not self._in_code
        self._said = self._said[-LOOK_BACK:] + text

    def _citation(self, place: int) -> Citation:
        hit = self._passages[place]
        chunk = hit.chunk
        quote, start = "", 0
        if self._quoted < MOST_QUOTED:
            self._quoted += 1
            said = words_of(SENTENCE_END.split(self._said[-LOOK_BACK:])[-1])
            quote = max(segment("en", chunk.text), key=lambda text: _agreement(said, text), default="").strip()
            start = max(0, chunk.text.find(quote))
        return Citation(
            number=place + 1,
            index=self._length,
            file_id=hit.file_id,
            filename=hit.filename,
            chunk_id=chunk.id,
            quote=quote,
            start=start,
            end=start + len(quote),
        )


def _agreement(said: set[str], sentence: str) -> float:
    words = words_of(sentence)
    return len(said & words) / math.sqrt(len(words) + 1)


def _ends_cited(out: Sequence[str]) -> bool:
    return bool(out) and out[-1].endswith("]")
