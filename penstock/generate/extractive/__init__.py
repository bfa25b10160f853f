"""The built-in engine that answers without a language model."""

from penstock.generate.extractive.engine import MODEL, NOTHING_FOUND, ExtractiveGenerator
from penstock.generate.extractive.evidence import Evidence, judge

__all__ = ["MODEL", "NOTHING_FOUND", "Evidence", "ExtractiveGenerator", "judge"]
