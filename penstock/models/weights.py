"""A safetensors file as named arrays, mapped into memory and not copied.

The format: eight bytes of length, a JSON header of names, types and offsets, then the raw arrays.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.core.errors import ModelMissing

WORDS = "embeddings.word_embeddings.weight"


class Tensor(msgspec.Struct, frozen=True):
    """One array's entry in the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class WeightsFile:
    """An open file. Arrays stay valid while it is; pages that are no longer read can be given back.

    The mapping is private and writable because the engine takes no read-only array; nothing writes to it.
    """

    def __init__(self, file: Path) -> None:
        """Raises ModelMissing when the file is damaged."""
        self.file = file
        try:
            with file.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            header_bytes = int.from_bytes(self._map[:8], "little")
            self._start = 8 + header_bytes
            header = msgspec.json.decode(self._map[8 : self._start], type=dict[str, Any])
            header.pop("__metadata__", None)
            self.tensors = msgspec.convert(header, dict[str, Tensor])
            ends = [tensor.data_offsets[1] for tensor in self.tensors.values()]
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise self._damaged(str(error)) from error
        if self._start + max(ends, default=0) > len(self._map):
            raise self._damaged("it is shorter than its header says")

    def read(self, name: str) -> NDArray[np.float32]:
        """As float32; the file's own memory where that is its type. Raises ModelMissing."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise self._damaged(f"it has no array '{name}'")
        begin, end = tensor.data_offsets
        raw = memoryview(self._map)[self._start + begin : self._start + end]
        try:
            if tensor.dtype == "F32":
                return np.frombuffer(raw, dtype=np.float32).reshape(tensor.shape)
            if tensor.dtype == "F16":
                return np.frombuffer(raw, dtype=np.float16).reshape(tensor.shape).astype(np.float32)
            if tensor.dtype == "BF16":
                # bfloat16 is the upper half of float32.
                widened = np.frombuffer(raw, dtype=np.uint16).astype(np.uint32) << np.uint32(16)
                return widened.view(np.float32).reshape(tensor.shape)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        raise self._damaged(f"array '{name}' is of type {tensor.dtype}, not F32, F16 or BF16")

    def give_back_pages(self) -> None:
        """Let the system take the pages back; what is read again comes from the file."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def _damaged(self, detail: str) -> ModelMissing:
        return ModelMissing(f"{self.file} cannot be used: {detail}. Fetch the model again.", param="embed.model")


class Weights:
    """The arrays of a file whose names begin with a prefix."""

    def __init__(self, file: WeightsFile, *, prefix: str | None = None) -> None:
        self.file = file
        self._prefix = _root(file) if prefix is None else prefix

    def under(self, prefix: str) -> Weights:
        """The arrays whose names go on with `prefix`."""
        return Weights(self.file, prefix=self._prefix + prefix)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self.file.tensors

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self.file.read(self._prefix + name)


def _root(file: WeightsFile) -> str:
    """Files made from a model with a head put the encoder under a name of its own: 'bert.', 'roberta.'."""
    return next((name.removesuffix(WORDS) for name in file.tensors if name.endswith(WORDS)), "")
