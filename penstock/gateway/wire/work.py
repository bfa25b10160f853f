"""`/v1/work`: what workers and their server say to each other. Not for callers; it changes with the release."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from penstock.catalog.jobs import Assignment, Refused, Ticket
from penstock.core.messages import Lease, Verdict
from penstock.core.types import Value
from penstock.gateway.wire.base import Answered, Asked
from penstock.pipeline.desk import Finished, Outcome, Read, Unfinished

MEDIA = "application/msgpack"
Some = Meta(max_length=1_000)
Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Hello(Asked, frozen=True):
    """A worker that wants to work here. `encoders` says how it reads and splits for each encoder that it has."""

    worker: Name
    encoders: Annotated[dict[str, str], Meta(max_length=2)]


class Welcome(Answered, frozen=True):
    """It may."""

    lease_s: float
    backend: Literal["sqlite", "nats", "rabbitmq", "redis"]


class LeaseAsked(Asked, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=1_000)]
    wait_s: Annotated[float, Meta(ge=0, le=10)]


class Leases(Asked, frozen=True):
    leases: Annotated[list[Lease], Some]


class Verdicts(Asked, frozen=True):
    verdicts: Annotated[list[Verdict], Some]


class Begin(Asked, frozen=True):
    worker: Name
    models: Annotated[list[str], Meta(max_length=2)]
    tickets: Annotated[list[Ticket], Some]


class Begun(Answered, frozen=True):
    assigned: list[Assignment]
    refused: list[Refused]


class Beat(Asked, frozen=True):
    """`leases` are those of its jobs."""

    worker: Name
    leases: Annotated[list[str], Some]


class Lost(Answered, frozen=True):
    lost: list[str]


class Embedding(Asked, frozen=True):
    read: Annotated[list[Read], Some]


class Known(Answered, frozen=True):
    """For each lease the hashes whose vectors its store has."""

    known: dict[str, list[str]]


class GivenUp(Asked, frozen=True):
    unfinished: Annotated[list[Unfinished], Some]


class Outcomes(Answered, frozen=True):
    outcomes: list[Outcome]


class HandedIn(Value, frozen=True):
    """In msgpack. `vectors` are float32, little-endian, a row of `dimension` for each new chunk."""

    finished: list[Finished]
    dimension: int
    vectors: bytes


class Unreadable(Answered, frozen=True):
    """Why there is no content: the file's own fault."""

    reason: str
    message: str


class ContentQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lease: str


class Done(Answered, frozen=True):
    ok: bool = True
