"""Questions that come together, divided so that little is computed for nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from penstock.models.batches import BATCH_TOKENS, plan, plan_closely, stretched


def cost(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> int:
    return sum(len(batch) * stretched(max(lengths[place] for place in batch)) + BATCH_TOKENS for batch in batches)


@pytest.mark.parametrize("seed", range(20))
def test_every_text_once_within_the_budget_and_never_dearer(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.choice((rng.randint(3, 12), rng.randint(3, 40), 300)) for _ in range(rng.randint(1, 64))]

    batches = plan_closely(lengths, budget_tokens=256)

    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= 256 for batch in batches)
    assert cost(lengths, batches) <= cost(lengths, plan(lengths, budget_tokens=256))


def test_one_long_question_does_not_stretch_the_others() -> None:
    assert plan_closely([8, 9, 8, 9, 40], budget_tokens=1_024) == [[0, 2, 1, 3], [4]]
    assert plan_closely([8, 9, 10], budget_tokens=1_024) == [[0, 1, 2]]
    assert plan_closely([], budget_tokens=1_024) == []
