"""Chunks, vectors and indexes to try things on."""

from pathlib import Path

import numpy as np

from penstock.config import SearchSettings
from penstock.core.context import start_context
from penstock.core.types import Chunk, Entry, Principal
from penstock.search import EdgeIndex

DIMENSION = 32
CTX = start_context(principal=Principal(), timeout_s=86_400)  # from the import on, through every test of the run
SETTINGS = SearchSettings(threads=4, min_free_bytes=1, vector_bits=16)  # exact, to compare


def edge(folder: Path, *, model: str = "m", dimension: int = DIMENSION, settings=SETTINGS, **rest) -> EdgeIndex:
    return EdgeIndex(folder=folder, store_id="vs_1", model=model, dimension=dimension, settings=settings, **rest)


def rows(count: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def file_entries(file: str, version: str, count: int, **rest) -> list[Entry]:
    return [
        Entry(
            chunk=Chunk(id=f"{file}:{version}:{i}", position=i, text=f"{file} version{version} part {i}"),
            file_id=file,
            filename=f"{file}.md",
            title="",
            version=version,
            **rest,
        )
        for i in range(count)
    ]
