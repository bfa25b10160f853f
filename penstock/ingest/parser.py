"""The entry to parsing: bytes and a name become a document, or a reason why not."""

from penstock.config import IngestSettings
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.sandbox.parser import Parser

__all__ = ["ParseLimits", "Parser", "parser_of"]


def parser_of(settings: IngestSettings) -> Parser:
    """The parser that the settings ask for."""
    limits = ParseLimits(
        max_file_bytes=settings.max_file_bytes,
        wall_s=settings.parse_timeout_s,
        memory_bytes=settings.parse_memory_bytes,
    )
    return Parser(limits=limits, workers=settings.parse_workers, isolate_every_file=settings.isolate_every_file)
