"""Tokens as an engine counts them, for budgets and for usage that the engine does not report."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from penstock.core.errors import ModelMissing

CHARS_PER_TOKEN = 4.0
"""Usual for English under byte-pair vocabularies of 32,000 to 200,000; other languages need more tokens."""


class TokenCount(Protocol):
    """Counts tokens of text."""

    def count(self, text: str) -> int: ...

    def chars(self, chars: int) -> int:
        """An estimate from a number of characters alone."""
        ...


class Estimate:
    """Tokens from bytes. Off by a third either way; where a budget is hard, give the engine's own tokenizer."""

    def __init__(self, *, bytes_per_token: float = CHARS_PER_TOKEN) -> None:
        self._bytes_per_token = bytes_per_token

    def count(self, text: str) -> int:
        return self.chars(len(text.encode()))

    def chars(self, chars: int) -> int:
        return int(-(-chars // self._bytes_per_token))


class Exact:
    """The engine's own vocabulary, from a `tokenizer.json`."""

    def __init__(self, *, file: Path) -> None:
        if not file.is_file():
            raise ModelMissing(f"No tokenizer at {file}. Give the path of the model's tokenizer.json, or leave it out.")
        self._tokenizer = Tokenizer.from_file(str(file))

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def chars(self, chars: int) -> int:
        return Estimate().chars(chars)
