"""What to send: who calls, how often, and with what. Read from options or from a scenario file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from penstock.core.errors import InvalidRequest

Kind = Literal["search", "chat", "stream"]
Length = Literal["short", "medium", "long"]
Arrivals = Literal["poisson", "constant", "bursts", "ramp", "trace", "closed"]
KINDS: tuple[Kind, ...] = ("search", "chat", "stream")
LENGTHS: tuple[Length, ...] = ("short", "medium", "long")
ARRIVALS: tuple[Arrivals, ...] = ("poisson", "constant", "bursts", "ramp", "trace", "closed")

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class Stream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One population of callers. `rate` is its mean number of requests a second while it is on."""

    name: str = "all"
    arrivals: Arrivals = "poisson"
    rate: Positive = 10.0
    callers: Annotated[int, Meta(ge=1, le=20_000)] = 8
    """Only for `closed`: each sends its next request when it has the last answer."""
    burst_on_s: Positive = 1.0
    burst_off_s: NotNegative = 4.0
    ramp_from: NotNegative = 0.0
    """Only for `ramp`: the rate at the start; `rate` is the one at the end."""
    trace: str = ""
    speed: NotNegative = 0.0
    """Only for `trace`: how many times faster than it was recorded. 0: so that it gives `rate` on average."""
    kinds: dict[Kind, NotNegative] = msgspec.field(default_factory=lambda: {"search": 1.0})
    lengths: dict[Length, NotNegative] = msgspec.field(default_factory=lambda: dict.fromkeys(LENGTHS, 1.0))
    key: str = ""
    key_env: str = ""
    """The variable that holds the API key: keeps it out of files and process lists."""
    start_s: NotNegative = 0.0
    stop_s: Positive | None = None
    """Silent outside of this part of the run, to put a spike in its middle."""
    timeout_s: NotNegative = 0.0
    """The deadline that requests carry. 0: none, so the server's own."""

    def __post_init__(self) -> None:
        """Raises ValueError, which msgspec's readers report as theirs."""
        for shares in (self.kinds, self.lengths):
            if not sum(shares.values()):
                raise ValueError(f"the shares of {', '.join(shares) or 'nothing'} are all zero")
        if (self.arrivals == "trace") != bool(self.trace):
            raise ValueError("arrivals 'trace' and the trace's file go together")
        if self.stop_s is not None and self.stop_s <= self.start_s:
            raise ValueError("it stops before it starts")

    @property
    def closed(self) -> bool:
        return self.arrivals == "closed"

    def api_key(self) -> str:
        """Raises InvalidRequest when the variable is not set."""
        if not self.key_env:
            return self.key
        if self.key_env not in os.environ:
            raise InvalidRequest(f"Load '{self.name}' takes its key from {self.key_env}, which is not set.")
        return os.environ[self.key_env]

    def described(self) -> dict[str, Any]:
        """For a report: everything but the key."""
        described: dict[str, Any] = msgspec.to_builtins(self)
        del described["key"]
        return described


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One run: its streams together, for `warmup_s` that is not counted and then `duration_s` that is."""

    streams: tuple[Stream, ...]
    duration_s: float = 10.0
    warmup_s: float = 2.0
    seed: int = 1

    @property
    def total_s(self) -> float:
        return self.warmup_s + self.duration_s

    @property
    def rate(self) -> float:
        """What all open streams offer together, a second."""
        return sum(stream.rate for stream in self.streams if not stream.closed)

    @property
    def closed(self) -> bool:
        return all(stream.closed for stream in self.streams)

    def at(self, rate: float) -> Load:
        """The same load so much heavier or lighter that it offers `rate` a second; shares stay."""
        factor = rate / self.rate
        return msgspec.structs.replace(self, streams=tuple(_faster(stream, factor) for stream in self.streams))

    def seeded(self, seed: int) -> Load:
        return msgspec.structs.replace(self, seed=seed)


def _faster(stream: Stream, factor: float) -> Stream:
    return msgspec.structs.replace(
        stream, rate=stream.rate * factor, ramp_from=stream.ramp_from * factor, speed=stream.speed * factor
    )


def read_scenario(file: Path) -> tuple[Stream, ...]:
    """Streams of a TOML file, one table `[[stream]]` each. Raises InvalidRequest naming what is wrong."""
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"Cannot read the scenario {file}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The scenario {file} is not valid TOML: {error}.") from error
    try:
        streams = msgspec.convert(tree.get("stream", []), tuple[Stream, ...])
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The scenario {file} is wrong: {error}.") from error
    if not streams or set(tree) != {"stream"}:
        raise InvalidRequest(f"The scenario {file} must hold tables [[stream]], and nothing else.")
    if len({stream.name for stream in streams}) < len(streams):
        raise InvalidRequest(f"Two streams of the scenario {file} have the same name.")
    return streams


def read_shares(text: str, allowed: tuple[str, ...]) -> dict[str, float]:
    """`search=3,chat=1`, or `search` alone. Raises InvalidRequest."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        try:
            shares[name] = float(share or 1)
        except ValueError as error:
            raise InvalidRequest(f"'{part}' is not a name and a number, as in {allowed[0]}=2.") from error
    _check_shares(shares, allowed)
    return shares


def read_numbers(text: str, *, name: str) -> tuple[float, ...]:
    """`50,100,200`; empty for nothing. Raises InvalidRequest unless all are positive."""
    try:
        numbers = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InvalidRequest(f"{name} takes numbers, as in 50,100,200, and not '{text}'.") from error
    if any(not 0 < number < float("inf") for number in numbers):
        raise InvalidRequest(f"{name} takes numbers above zero, and not '{text}'.")
    return numbers


def _check_shares(shares: Mapping[str, float], allowed: tuple[str, ...]) -> None:
    unknown = sorted(set(shares) - set(allowed))
    if unknown:
        raise InvalidRequest(f"There is no '{unknown[0]}': choose from {', '.join(allowed)}.")
    if any(not share >= 0 for share in shares.values()) or not 0 < sum(shares.values()) < float("inf"):
        raise InvalidRequest("Shares are not negative, and not all zero.")
