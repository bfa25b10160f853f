"""Where requests are let in or turned away: one door for searches, one for answers. Both follow measured latency.

A search takes about as long as any other. Answers take from milliseconds (quoted sentences) to a minute (a long answer
of a language model), from which nothing can be learned; so their door looks at the time until the first word, which
grows when an engine's queue does, and how long the answer then is does not matter. It goes on counting an answer in
until its last word, as the engine does.

Whoever would be refused is refused before his request's body is read (`Admission.check`); whoever may come in or wait
takes his place when it has been read, so that a slow sender holds none.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.config import FlowSettings
from penstock.flow.admission import Admission
from penstock.flow.limit import AdaptiveLimit
from penstock.flow.pressure import Pressure
from penstock.telemetry.metrics import Metrics

DoorName = Literal["search", "answer"]

INITIAL = 32
"""Let in together before anything is known of this machine and its engines."""
FEWEST_SEARCHES = 16
FEWEST_ANSWERS = 4


class Doors(msgspec.Struct, frozen=True):
    """The doors of one gateway; None where everybody comes in."""

    search: Admission | None
    answer: Admission | None

    def named(self, name: DoorName | None) -> Admission | None:
        if name is None:
            return None
        return self.search if name == "search" else self.answer


def make_doors(*, settings: FlowSettings, metrics: Metrics, pressure: Pressure | None = None) -> Doors:
    """Doors as the settings want them, seen by the metrics; full ones count as `pressure`."""
    if not settings.admission:
        return Doors(None, None)
    searches = _limit(settings.max_searches, FEWEST_SEARCHES, settings.search_latency_s)
    answers = _limit(settings.max_answers, FEWEST_ANSWERS, settings.answer_latency_s)
    doors = Doors(search=_door("search", searches, settings), answer=_door("answer", answers, settings))
    for door in (doors.search, doors.answer):
        if door is not None:
            metrics.watch_door(door)
            if pressure is not None:
                pressure.watch(door.name, door.pressure)
    return doors


def _limit(highest: int, fewest: int, content_s: float) -> AdaptiveLimit:
    return AdaptiveLimit(initial=min(INITIAL, highest), lowest=min(fewest, highest), highest=highest, floor_s=content_s)


def _door(name: DoorName, limit: AdaptiveLimit, settings: FlowSettings) -> Admission:
    return Admission(name=name, limit=limit, shortest_wait_s=settings.wait_s, patience_s=settings.patience_s)
