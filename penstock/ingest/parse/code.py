"""Source code: the file as it stands."""

from __future__ import annotations

from penstock.ingest.parse.detect import language_of
from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline


def read_code(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    outline.title = outline.title or outline.filename.rpartition("/")[2]
    outline.code(decode(content), language_of(outline.filename))
