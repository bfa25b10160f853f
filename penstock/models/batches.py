"""Which texts go through the encoder together: of like length, and no more than a budget of tokens with padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]

STEP = 8
"""Texts are padded to a multiple of so many tokens. A batch of a shape that the engine has not seen takes it twice as
long, as it prepares itself; with this there are few shapes, and they have been seen soon."""
BATCH_TOKENS = 24
"""What a batch costs beside its tokens, in tokens (all-MiniLM-L6-v2, one thread: 12 in fp32, 32 in bf16 with AMX)."""


def plan(lengths: Sequence[int], *, budget_tokens: int, step: int = STEP) -> list[list[int]]:
    """Indices of each batch, short texts first. A batch's longest text, padded, times its size stays within the
    budget; a text that alone is over it stands alone.
    """
    lengths = [stretched(length, step) for length in lengths]
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


def plan_closely(lengths: Sequence[int], *, budget_tokens: int, step: int = STEP) -> list[list[int]]:
    """Like `plan`, with the fewest tokens computed: padding is weighed against what another batch costs by itself.

    Its time grows with the square of the number of texts, so it is for the few dozen questions that come together.
    """
    lengths = [stretched(length, step) for length in lengths]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    least = [0.0] + [float("inf")] * len(order)
    begins = [0] * (len(order) + 1)
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        for begin in range(end - 1, -1, -1):
            tokens = (end - begin) * longest
            if tokens > budget_tokens and begin < end - 1:
                break
            if least[begin] + tokens + BATCH_TOKENS < least[end]:
                least[end] = least[begin] + tokens + BATCH_TOKENS
                begins[end] = begin
    batches: list[list[int]] = []
    end = len(order)
    while end:
        batches.append(order[begins[end] : end])
        end = begins[end]
    return batches[::-1]


def stretched(tokens: int, step: int = STEP) -> int:
    """The length to which a text of so many tokens is padded at the least."""
    return -(-tokens // step) * step


def padded(rows: Sequence[Sequence[int]], *, pad_id: int, window: int, step: int = STEP) -> tuple[Ids, Ids]:
    """Token ids and mask, [texts, the longest stretched as far as the model's window goes]."""
    longest = max(len(row) for row in rows)
    longest = max(longest, min(stretched(longest, step), window))
    ids = np.full((len(rows), longest), pad_id, dtype=np.int32)
    mask = np.zeros((len(rows), longest), dtype=np.int32)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask
