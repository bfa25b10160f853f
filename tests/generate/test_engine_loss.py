"""One of two engines is lost under load. `python -m benchmarks.engine_loss` is the long form."""

import os

import pytest

from benchmarks.engine_loss import WAYS, Way, trial

SECONDS = float(os.environ.get("PENSTOCK_ENGINE_LOSS_SECONDS", "6"))


@pytest.mark.timeout(int(SECONDS) + 120)
@pytest.mark.parametrize("way", WAYS)
async def test_the_others_are_answered_within_the_budget_of_attempts(way: Way) -> None:
    loss = await trial(way, rate=40.0, seconds=SECONDS)

    print(loss)
    assert loss.there > 0
    assert loss.success >= 0.995, loss.errors
    assert loss.recovery_s <= 5.0
    assert loss.attempts <= loss.most_attempts
