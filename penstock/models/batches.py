"""Which texts go through the encoder together: of like length, and no more than a budget of tokens with padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]


def plan(lengths: Sequence[int], *, budget_tokens: int) -> list[list[int]]:
    """Indices of each batch, short texts first. A batch's longest text times its size stays within the budget;
    a text that alone is over it stands alone.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batches: list[list[int]] = []
    current: list[int] = []
    for index in order:
        if current and (len(current) + 1) * lengths[index] > budget_tokens:
            batches.append(current)
            current = []
        current.append(index)
    if current:
        batches.append(current)
    return batches


def padded(rows: Sequence[Sequence[int]], *, pad_id: int) -> tuple[Ids, Ids]:
    """Token ids and mask, [texts, longest]."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int32)
    mask = np.zeros((len(rows), longest), dtype=np.int32)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask
