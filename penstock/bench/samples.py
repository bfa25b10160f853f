"""What the generator saw, a row a request, in columns; travels between processes as MessagePack."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.bench.flight import Flight
from penstock.bench.load import KINDS

Column = NDArray[np.float64]

ENDS = ("ok", "reject", "error")
MOMENTS = ("began_s", "due_s", "dispatched_s", "sent_s", "first_byte_s", "first_token_s", "ended_s")


class Outcome(msgspec.Struct, frozen=True):
    """How a request ended. `code` is the server's, or what the generator has to say."""

    end: str
    status: int
    code: str


class Samples(msgspec.Struct, frozen=True):
    """Moments in seconds from the start of the run; NaN where a thing did not happen."""

    moments: dict[str, Column]
    stream: NDArray[np.int64]
    kind: NDArray[np.int64]
    outcome: NDArray[np.int64]
    outcomes: list[Outcome]
    retry_after: NDArray[np.int64]
    """-1 none, 0 not an integer above zero, 1 as it should be."""
    degraded: NDArray[np.bool_]
    stages_ms: dict[str, Column]
    probe_ms: Column
    """How long the server took to say that it is alive, every tenth of a second."""
    zero_s: float
    """The run's zero on the machine's monotonic clock, to lay other measurements beside it."""
    resent: int
    most_connections: int
    generator_cpu_share: float

    def __len__(self) -> int:
        return len(self.stream)

    def picked(self, rows: NDArray[np.bool_]) -> Samples:
        """Only these rows."""
        return msgspec.structs.replace(
            self,
            moments={name: column[rows] for name, column in self.moments.items()},
            stream=self.stream[rows],
            kind=self.kind[rows],
            outcome=self.outcome[rows],
            retry_after=self.retry_after[rows],
            degraded=self.degraded[rows],
            stages_ms={name: column[rows] for name, column in self.stages_ms.items()},
        )

    def ended(self, end: str) -> NDArray[np.bool_]:
        """Which rows ended so."""
        those = [place for place, outcome in enumerate(self.outcomes) if outcome.end == end]
        return np.isin(self.outcome, those)


class Recorder:
    """Collects flights as they end."""

    def __init__(self, *, began_s: float) -> None:
        self._began_s = began_s
        self._moments: list[tuple[float, ...]] = []
        self._marks: list[tuple[int, int, int, int, bool]] = []
        self._outcomes: dict[Outcome, int] = {}
        self._stages_ms: list[dict[str, float]] = []
        self._probe_ms: list[float] = []
        self._resent = 0

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, flight: Flight) -> None:
        assert flight.end is not None
        outcome = Outcome(flight.end, flight.status, flight.code)
        place = self._outcomes.setdefault(outcome, len(self._outcomes))
        self._moments.append(tuple(getattr(flight, name) for name in MOMENTS))
        self._marks.append(
            (flight.shot.stream, KINDS.index(flight.shot.kind), place, _sound(flight.retry_after), flight.degraded)
        )
        self._stages_ms.append(flight.stages_ms)
        self._resent += flight.resent

    def add_probe(self, flight: Flight) -> None:
        self._probe_ms.append((flight.ended_s - flight.began_s) * 1000)

    def samples(self, *, most_connections: int, cpu_share: float) -> Samples:
        """Everything so far, in columns."""
        moments = np.array(self._moments, dtype=np.float64).reshape(-1, len(MOMENTS))
        moments = np.where(moments > 0, moments - self._began_s, np.nan)
        marks = np.array(self._marks, dtype=np.int64).reshape(-1, 5)
        names = list(dict.fromkeys(name for stages in self._stages_ms for name in stages))
        return Samples(
            moments={name: moments[:, place] for place, name in enumerate(MOMENTS)},
            stream=marks[:, 0],
            kind=marks[:, 1],
            outcome=marks[:, 2],
            outcomes=list(self._outcomes),
            retry_after=marks[:, 3],
            degraded=marks[:, 4].astype(np.bool_),
            stages_ms={name: np.array([stages.get(name, np.nan) for stages in self._stages_ms]) for name in names},
            probe_ms=np.array(self._probe_ms),
            zero_s=self._began_s,
            resent=self._resent,
            most_connections=most_connections,
            generator_cpu_share=cpu_share,
        )


def _sound(retry_after: bytes) -> int:
    if not retry_after:
        return -1
    return int(retry_after.isdigit() and int(retry_after) > 0)


def pack(samples: Samples) -> bytes:
    return msgspec.msgpack.encode(samples, enc_hook=_as_bytes)


def unpack(data: bytes) -> Samples:
    return msgspec.msgpack.decode(data, type=Samples, dec_hook=_as_array)


def _as_bytes(column: Any) -> Any:
    assert isinstance(column, np.ndarray)
    return column.astype(np.float64).tobytes()


def _as_array(kind: Any, data: Any) -> Any:
    dtype = kind.__args__[1].__args__[0]  # NDArray[X] is ndarray[shape, dtype[X]]
    return np.frombuffer(data, dtype=np.float64).astype(dtype)
