"""The entry to parsing: bytes and a name become a document, or a reason why not."""

from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.sandbox.parser import Parser

__all__ = ["ParseLimits", "Parser"]
