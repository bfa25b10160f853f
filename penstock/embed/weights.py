"""A safetensors file as named arrays, read one at a time, so that no second copy of the whole stays in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from penstock.core.errors import ModelMissing


class Weights:
    """The arrays of a file, or those whose names begin with a prefix, as float32."""

    def __init__(self, file: Path, *, handle: Any = None, prefix: str | None = None) -> None:
        self._file = file
        try:
            self._handle = handle if handle is not None else safe_open(str(file), framework="np")
        except (SafetensorError, OSError) as error:
            raise ModelMissing(f"{file} is damaged: {error}. Fetch the model again.", param="embed.model") from error
        self._names = frozenset(self._handle.keys())
        self._prefix = prefix if prefix is not None else self._root()

    def _root(self) -> str:
        """Files made from a model with a head put the encoder under a name of its own."""
        for name in self._names:
            if name.endswith("embeddings.word_embeddings.weight"):
                return str(name).removesuffix("embeddings.word_embeddings.weight")
        return ""

    def under(self, prefix: str) -> Weights:
        """The arrays whose names go on with `prefix`."""
        return Weights(self._file, handle=self._handle, prefix=self._prefix + prefix)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._names

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Raises ModelMissing, naming the array that the file lacks."""
        full = self._prefix + name
        if full not in self._names:
            raise ModelMissing(f"{self._file} has no array '{full}'. Fetch the model again.", param="embed.model")
        array: NDArray[np.float32] = np.asarray(self._handle.get_tensor(full), dtype=np.float32)
        return array
