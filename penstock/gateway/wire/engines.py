"""`/engines` and `/usage`: for whoever operates the server."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from penstock.gateway.wire.base import Answered, Asked

Name = Annotated[str, Meta(min_length=1, max_length=2048)]


class ReplicaAsked(Asked, frozen=True):
    """One server of one engine, as `/engines` lists them."""

    model: Name
    replica: Name


class ReplicaShown(Answered, frozen=True):
    """One server. `resting`: after failures; `sick`: it does not answer probes; `suspect`: it has just failed."""

    name: str
    condition: Literal["well", "suspect", "resting", "sick", "draining"]
    in_hand: int


class EngineShown(Answered, frozen=True):
    """One language model and its servers. Counts are since the start."""

    model: str
    kind: Literal["servers", "local"]
    in_hand: int
    replicas: list[ReplicaShown]
    attempts: int
    retries: int
    hedges: int
    prefix_hit_ratio: float
    waiting_for_provider: int


class EngineList(Answered, frozen=True):
    """All of them."""

    data: list[EngineShown]
    object: Literal["list"] = "list"


class UsageAsked(Asked, frozen=True):
    """From which day on, UTC, like 2026-11-26; left out: from the first of this month on."""

    since: Annotated[str, Meta(max_length=10)] | None = None


class UsageShown(Answered, frozen=True):
    """What one tenant has used of one model."""

    tenant: str
    model: str
    requests: int
    broken: int
    """Of the requests, those that ended in an error or were left by their reader; their tokens are estimates."""
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    price: float
    mean_first_token_ms: float
    tokens_per_s: float
    """Of the time in which tokens came."""


class UsageList(Answered, frozen=True):
    """By tenant and model."""

    data: list[UsageShown]
    since: str
    object: Literal["list"] = "list"
