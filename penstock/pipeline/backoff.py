"""How long a job waits before it is tried again."""

from __future__ import annotations

import random

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


def pause_s(tries: int) -> float:
    """Longer after each try, and never twice the same."""
    longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 4.0**tries)
    return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads tries, keeps no secret
