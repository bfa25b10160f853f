"""The entry to parsing: bytes and a name become a document, or a reason why not."""

from penstock.config import IngestSettings
from penstock.ingest.language_data import find_language_data
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.sandbox.parser import Parser

__all__ = ["ParseLimits", "Parser", "parser_of"]


def parser_of(settings: IngestSettings) -> Parser:
    """The parser that the settings ask for. Raises BadSetting where they ask for OCR and it lacks something."""
    language_data = find_language_data(settings)
    limits = ParseLimits(
        max_file_bytes=settings.max_file_bytes,
        wall_s=settings.parse_timeout_s,
        memory_bytes=settings.parse_memory_bytes,
        ocr_max_pages=settings.ocr_max_pages,
        ocr_wall_s=settings.ocr_wall_s if language_data else 0.0,
    )
    return Parser(
        limits=limits,
        workers=settings.parse_workers,
        isolate_every_file=settings.isolate_every_file,
        language_data=language_data,
    )
