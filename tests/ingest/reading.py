"""How tests of readers read."""

from __future__ import annotations

from penstock.core.types import Document
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import Ocr
from penstock.ingest.parse.registry import parse

LIMITS = ParseLimits()


def read(
    content: bytes | str, filename: str = "file", limits: ParseLimits = LIMITS, ocr: Ocr | None = None
) -> Document:
    return parse(content.encode() if isinstance(content, str) else content, filename, limits, ocr)


def shown(document: Document) -> list[tuple[str, str]]:
    """Kind and text of each block; headings with their level."""
    return [(f"{block.kind}{block.level or ''}", block.text) for block in document.blocks]


def text_of(document: Document) -> str:
    return "\n\n".join(block.text for block in document.blocks)
