"""Tables as text: comma, semicolon, tab or bar between the cells."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterator

from penstock.core.errors import BadDocument
from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline

DELIMITERS = (",", ";", "\t", "|", ":")
SAMPLE_LINES = 50
SAMPLE_CHARS = 64 * 1024
MAX_COLUMNS = 16_384


def read_delimited(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    csv.field_size_limit(limits.max_output_chars)
    text = decode(content).replace("\0", "").lstrip("\ufeff")
    delimiter = ""
    if text[:4].lower() == "sep=":
        # Excel's way of naming the delimiter.
        delimiter, _, text = text[4:5], *text.partition("\n")[1:]
    try:
        outline.table(_rows(text, delimiter or _delimiter(text)))
    except csv.Error as error:
        raise BadDocument("corrupt", f"Its rows cannot be read: {error}.") from error


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        if len(row) > MAX_COLUMNS:
            raise BadDocument("too_large", f"A row has {len(row):,} cells; {MAX_COLUMNS:,} are allowed.")
        yield row


def _delimiter(text: str) -> str:
    """The sign that cuts the first lines into most cells, and into equally many."""
    lines = text[:SAMPLE_CHARS].splitlines()[:SAMPLE_LINES]
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        if not widths or max(widths) < 2:
            continue
        typical = statistics.mode(widths)
        agreeing = sum(width == typical for width in widths) / len(widths)
        score = agreeing * (2.0 if typical > 1 else 0.5) + min(typical, 20) / 20
        if score > best_score:
            best, best_score = delimiter, score
    return best
