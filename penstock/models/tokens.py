"""A model's tokenizer: counting for the splitter, token ids for the model, of texts and of pairs.

The library tokenises a batch on all cores and without the interpreter's lock.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from penstock.core.errors import ModelMissing

# Worker threads never fork, so the library's warning about forking after parallel use has no object here.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


class EncoderTokenizer:
    """Holds two views of one tokenizer.json: one that cuts at the window, one that counts everything."""

    def __init__(self, *, file: Path, max_tokens: int) -> None:
        self._file = file
        self.max_tokens = max_tokens
        self._cutting: Tokenizer | None = None
        self._counting: Tokenizer | None = None

    def start(self) -> None:
        """Read the file. Raises ModelMissing when it is damaged."""
        self._cutting = self._read()
        self._cutting.enable_truncation(self.max_tokens)
        self._counting = self._read()

    def _read(self) -> Tokenizer:
        try:
            tokenizer = Tokenizer.from_str(self._file.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception for every fault of the file
            raise ModelMissing(
                f"{self._file} cannot be read: {error}. Fetch the model again.", param="embed.model"
            ) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the special tokens."""
        assert self._counting is not None, "started"
        encoded = self._counting.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(item) for item in encoded]

    def cut(self, texts: Sequence[str], max_tokens: int) -> list[str]:
        """The beginning of each text, up to so many tokens without the special ones."""
        assert self._counting is not None, "started"
        encoded = self._counting.encode_batch(list(texts), add_special_tokens=False)
        return [
            text if len(item) <= max_tokens else text[: item.offsets[max_tokens - 1][1]]
            for text, item in zip(texts, encoded, strict=True)
        ]

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        """Token ids of each pair, cut at the window by the longer text's end, and which text each token is of."""
        assert self._cutting is not None, "started"
        return [(item.ids, item.type_ids) for item in self._cutting.encode_batch_fast(list(pairs))]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text with the special tokens, cut at the window."""
        assert self._cutting is not None, "started"
        return [item.ids for item in self._cutting.encode_batch_fast(list(texts))]
