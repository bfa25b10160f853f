"""Words as they are compared: lower case, stemmed, each with how much it tells.

How much a word tells is its rarity in general English: ln(passages / passages with the word), counted over the
passages of squad-train and kept in word_levels.txt (made by `benchmarks/answer_quality.py words`). Hits bring no
statistics of their corpus, and an answer must not change because a store grew. A word that the list does not know
is taken as rare, unless it is very short. Weakness: in other languages than English function words are unknown too;
there only their frequency among the hits (see scoring.py) keeps them down.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

import Stemmer

MAX_WORD = 40
"""Characters of a word; a longer run of letters is no word, and falls in pieces."""

WORD = re.compile(rf"\w{{1,{MAX_WORD}}}")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""Scripts written without spaces: Thai, Lao, Burmese, Khmer, kana, Han. Their words are pairs of characters."""

BROKEN = re.compile("[\ud800-\udfff]")
"""Halves of characters, which no encoding knows; native code refuses them."""

RAREST = 8.0
"""Rarity of an unknown word, a little above the rarest one in the list."""


def stems(text: str) -> list[str]:
    """The words of `text` in order, comparable."""
    return [_stem(word) for word in _words(text)]


@lru_cache(maxsize=30_000)
def _stem(word: str) -> str:
    # A stemmer is not for several threads at once; making one costs less than a lock.
    stem: str = Stemmer.Stemmer("english", 0).stemWord(word)
    return stem


def _words(text: str) -> list[str]:
    lowered = text.lower()
    if lowered.isascii():
        return WORD.findall(lowered)
    words = WORD.findall(BROKEN.sub("?", lowered))
    return [part for word in words for part in _unspaced(word)] if UNSPACED.search(lowered) else words


def rarity(stem: str) -> float:
    """How much the word tells, 0 (in every passage) to RAREST."""
    known = _levels().get(stem)
    if known is not None:
        return known
    return RAREST * min(1.0, len(stem) / 4) if stem.isascii() and not stem.isdigit() else RAREST * 0.9


@cache
def _levels() -> dict[str, float]:
    text = files(__package__).joinpath("word_levels.txt").read_text(encoding="utf-8")
    levels: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            level, _, words = line.partition(" ")
            levels.update(dict.fromkeys(words.split(), float(level)))
    return levels


def _unspaced(word: str) -> list[str]:
    parts: list[str] = []
    at = 0
    for run in UNSPACED.finditer(word):
        if run.start() > at:
            parts.append(word[at : run.start()])
        signs = run.group()
        parts += [signs[i : i + 2] for i in range(max(1, len(signs) - 1))]
        at = run.end()
    if at < len(word):
        parts.append(word[at:])
    return parts
