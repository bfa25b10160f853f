"""How the engines stand, for metrics and for whoever operates them."""

from __future__ import annotations

from typing import Literal

import msgspec

ReplicaCondition = Literal["well", "suspect", "resting", "sick", "draining"]


class ReplicaState(msgspec.Struct, frozen=True, kw_only=True):
    """One replica. `resting`: its breaker is open after failures; `sick`: it does not answer probes."""

    name: str
    condition: ReplicaCondition
    in_hand: int
    """Requests that are with it."""


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """One model and its replicas. Counts are since the start."""

    model: str
    kind: Literal["servers", "local"]
    in_hand: int
    replicas: tuple[ReplicaState, ...]
    attempts: int = 0
    retries: int = 0
    hedges: int = 0
    prefix_hit_ratio: float = 0.0
    """Share of the prompts' blocks that went to a replica which had been given them before."""
    waiting_for_provider: int = 0
    """Requests that wait until a provider's limit lets them go."""
