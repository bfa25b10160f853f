"""What is asked: questions by length, from a file in BEIR's form or a few that are built in."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.bench.load import LENGTHS, Length
from penstock.core.errors import InvalidRequest

SUBJECTS = (
    "the refund period", "the northern bridge", "key rotation", "the winter timetable", "water pressure",
    "the old harbour", "backup copies", "travel expenses", "the main turbine", "the river market",
)  # fmt: skip
SHORT = ("What is {}?", "Who decides about {}?", "When was {} changed?", "Where is {} described?")
MEDIUM = (
    "Which rules apply to {} when nobody has asked for an exception beforehand?",
    "How long does it usually take until a change of {} reaches everyone concerned?",
    "What was the reason for which {} became so important in the last century?",
)
LONG = (
    (
        "I have read the introduction and two of the chapters, and I still do not understand how {} is meant to work "
        "together with the older arrangement. Does the newer rule replace it at once, or only for those who have "
        "signed after the change, and what happens to everything that had been started before but was not finished?"
    ),
    (
        "We are about to write a short report for people who were not there. Please explain what {} is, who was "
        "responsible for it at first, which three events changed it most, and whether the reasons that were given at "
        "the time still hold. If the documents disagree about the dates, name both and say where each stands."
    ),
)


class Questions(msgspec.Struct, frozen=True):
    """Questions by length. `source` says whose."""

    by_length: dict[Length, tuple[str, ...]]
    source: str


class _Row(msgspec.Struct):
    text: str


def built_in() -> Questions:
    """A few dozen about nothing in particular: enough for a first look. They repeat, so caches shine."""
    forms: dict[Length, tuple[str, ...]] = {"short": SHORT, "medium": MEDIUM, "long": LONG}
    return Questions(
        by_length={
            length: tuple(form.format(subject) for subject in SUBJECTS for form in forms[length]) for length in LENGTHS
        },
        source="built in",
    )


def read_questions(file: Path) -> Questions:
    """A `queries.jsonl`, also gzipped; by words the shortest third is short, and so on. Raises InvalidRequest."""
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        decoder = msgspec.json.Decoder(_Row)
        texts = {decoder.decode(line).text for line in data.splitlines() if line.strip()}
    except OSError as error:
        raise InvalidRequest(f"Cannot read the questions {file}: {error.strerror or error}.") from error
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"{file} is not JSON Lines with a 'text' each: {error}.") from error
    if len(texts) < len(LENGTHS):
        raise InvalidRequest(f"{file} holds {len(texts)} different questions; at least {len(LENGTHS)} are needed.")
    ordered = sorted(texts, key=lambda text: (len(text.split()), text))
    third = len(ordered) / len(LENGTHS)
    return Questions(
        by_length={
            length: tuple(ordered[round(place * third) : round((place + 1) * third)])
            for place, length in enumerate(LENGTHS)
        },
        source=f"{file.name}, {len(ordered)} questions",
    )


def choose(shares: Iterable[float], points: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each point from 0 to 1, the place of the share it falls into."""
    weights = np.array(list(shares), dtype=np.float64)
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, points, side="right"), len(weights) - 1)


def deck(texts: Sequence[str], random: np.random.Generator) -> list[str]:
    """All of them in an order of the seed's: dealt one after another, none repeats before all were asked."""
    return [texts[place] for place in random.permutation(len(texts))]
