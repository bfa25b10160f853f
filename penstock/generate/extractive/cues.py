"""What a question asks for, and whether a sentence has such a thing to offer.

English only; in other languages no cue fires and the words alone decide.
"""

from __future__ import annotations

import re
from typing import Literal

Wanted = Literal["person", "time", "year", "place", "count", "reason", "other"]

PERSON = re.compile(r"\b(?:who|whom|whose)\b|\b(?:which|what) (?:\w+ ){0,2}(?:person|man|woman|author|king|queen)\b")
YEAR = re.compile(r"\b(?:what|which) (?:year|decade|century)\b")
TIME = re.compile(r"\bwhen\b|\b(?:what|which) (?:\w+ )?(?:date|day|month|time)\b")
PLACE = re.compile(
    r"\bwhere\b|\b(?:what|which) (?:\w+ ){0,2}(?:city|country|state|place|region|town|area|location|continent|street)\b"
)
COUNT = re.compile(
    r"\bhow (?:many|much|long|old|far|big|large|tall|high|deep|fast|often|wide|heavy)\b"
    r"|\b(?:what|which) (?:\w+ ){0,2}(?:number|percent|percentage|amount|population|proportion|size|rate|cost|price)\b"
)
REASON = re.compile(r"\bwhy\b|\bhow (?:do|does|did|can|is|are|was|were|to|should)\b|\b(?:what|which) reasons?\b")

NAME = re.compile(r"(?<![.!?\n] )(?<!^)\b[A-ZÀ-ÞΑ-ΩА-Я][\w’'-]+")
"""A capitalised word that does not begin a sentence."""
DIGITS = re.compile(r"\d[\d.,:]*")
FOUR_DIGITS = re.compile(r"\b[12]\d{3}s?\b|\bcentur(?:y|ies)\b")
DATE = re.compile(
    r"\b[12]\d{3}s?\b|\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\b"
    r"|\bcentur(?:y|ies)\b|\b(?:days?|weeks?|months?|years?|hours?|decades?)\b|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"\d|%|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion"
    r"|half|third|quarter|once|twice|several|percent|single|both|none)\b",
    re.IGNORECASE,
)
PLACE_NAME = re.compile(r"\b(?:in|at|from|near|to|of|on) (?:the )?[A-ZÀ-ÞΑ-ΩА-Я]\w+")
CAUSE = re.compile(
    r"\b(?:because|due to|in order to|so that|as a result|therefore|since|by \w+ing|to \w+|for|cause[ds]?|use|using)\b",
    re.IGNORECASE,
)


def wanted(question: str) -> Wanted:
    """The kind of thing asked for."""
    asked = question.lower()
    for kind, cue in (("count", COUNT), ("year", YEAR), ("person", PERSON), ("place", PLACE), ("time", TIME)):
        if cue.search(asked):
            return kind  # type: ignore[return-value] # the tuple's literals are all Wanted
    return "reason" if REASON.search(asked) else "other"


def offers(kind: Wanted, sentence: str, question_lower: str) -> float:
    """1.0 where the sentence has something of the kind that the question does not itself name, else 0.0."""
    if kind == "other":
        return 0.0
    if kind == "reason":
        return 1.0 if CAUSE.search(sentence) else 0.0
    cue = {"person": NAME, "place": PLACE_NAME, "count": NUMBER, "year": FOUR_DIGITS, "time": DATE}[kind]
    return 1.0 if any(found.group().lower() not in question_lower for found in cue.finditer(sentence)) else 0.0
