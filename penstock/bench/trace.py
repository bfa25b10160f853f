"""Recorded arrivals: RAGPulse (JSON Lines) and the Azure LLM traces (CSV), by their content."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.core.errors import InvalidRequest


class Trace(msgspec.Struct, frozen=True):
    """Arrivals in order, from zero. `size` is what the question weighed; equal `identity` is the same question."""

    arrival_s: NDArray[np.float64]
    size: NDArray[np.float64]
    identity: NDArray[np.int64]
    ticks_s: float
    """Of the clock that recorded it: arrivals are only known to this."""

    @property
    def lap_s(self) -> float:
        """From its first arrival to the first of its repetition: one more gap than there are."""
        last_s = float(self.arrival_s[-1])
        return max(last_s + last_s / (len(self.arrival_s) - 1), last_s + self.ticks_s, 1e-9)

    @property
    def rate(self) -> float:
        return len(self.arrival_s) / self.lap_s


def read_trace(file: Path) -> Trace:
    """Raises InvalidRequest when it is neither of the two forms."""
    try:
        with _opened(file) as stream:
            rows = list(_json_rows(stream) if ".jsonl" in file.name else _csv_rows(stream))
    except OSError as error:
        raise InvalidRequest(f"Cannot read the trace {file}: {error.strerror or error}.") from error
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidRequest(
            f"The trace {file} has a line that cannot be read ({type(error).__name__}: {error}). "
            "Expected: RAGPulse's JSON Lines, or a CSV with arrival_s and prompt_tokens."
        ) from error
    if len(rows) < 2:
        raise InvalidRequest(f"The trace {file} holds no arrivals.")
    rows.sort(key=lambda row: row[0])
    arrival_s = np.array([row[0] for row in rows])
    whole = bool((arrival_s == np.floor(arrival_s)).all())
    return Trace(
        arrival_s=arrival_s - arrival_s[0],
        size=np.array([row[1] for row in rows]),
        identity=np.array([row[2] for row in rows], dtype=np.int64),
        ticks_s=1.0 if whole else 0.0,
    )


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8")
    return file.open(encoding="utf-8", newline="")


class _Tokens(msgspec.Struct):
    user: float = 0.0


class _Hashes(msgspec.Struct):
    user_input: list[int] = []


class _RagPulse(msgspec.Struct):
    arrival_s: float
    tokens: _Tokens
    hash_ids: _Hashes


def _json_rows(stream: TextIO) -> Iterator[tuple[float, float, int]]:
    decoder = msgspec.json.Decoder(_RagPulse)
    known: dict[tuple[int, ...], int] = {}
    for line in stream:
        if line.strip():
            row = decoder.decode(line)
            identity = known.setdefault(tuple(row.hash_ids.user_input), len(known))
            yield row.arrival_s, row.tokens.user, identity


def _csv_rows(stream: TextIO) -> Iterator[tuple[float, float, int]]:
    for number, row in enumerate(csv.DictReader(stream)):
        yield float(row["arrival_s"]), float(row["prompt_tokens"]), number
