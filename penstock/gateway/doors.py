"""Where requests are let in or turned away: one door for searches, one for answers.

A search takes about as long as any other, so its door follows the measured latency. Answers take from milliseconds
(quoted sentences) to a minute (a long answer of a language model), from which nothing can be learned; their door has a
fixed number of places, and engines have limits of their own behind it.

Weakness: a request's JSON has been read when it comes to the door; that is a few microseconds of work for the refused.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.config import FlowSettings
from penstock.flow.admission import Admission
from penstock.flow.limit import AdaptiveLimit, FixedLimit
from penstock.flow.pressure import Pressure
from penstock.telemetry.metrics import Metrics

DoorName = Literal["search", "answer"]

INITIAL_SEARCHES = 64
"""Let in together before anything is known of this machine."""
FEWEST_SEARCHES = 16


class Doors(msgspec.Struct, frozen=True):
    """The doors of one gateway; None where everybody comes in."""

    search: Admission | None
    answer: Admission | None

    def named(self, name: DoorName | None) -> Admission | None:
        if name is None:
            return None
        return self.search if name == "search" else self.answer

    def press(self, pressure: Pressure) -> None:
        """Let full doors count as pressure."""
        for door in (self.search, self.answer):
            if door is not None:
                pressure.watch(door.name, door.pressure)


def make_doors(*, settings: FlowSettings, metrics: Metrics) -> Doors:
    """Doors as the settings want them, seen by the metrics."""
    if not settings.admission:
        return Doors(None, None)
    searches = AdaptiveLimit(
        initial=INITIAL_SEARCHES,
        lowest=FEWEST_SEARCHES,
        highest=settings.max_searches,
        floor_s=settings.search_latency_s,
    )
    doors = Doors(
        search=Admission(name="search", limit=searches, shortest_wait_s=settings.search_latency_s),
        answer=Admission(name="answer", limit=FixedLimit(settings.max_answers), shortest_wait_s=settings.answer_wait_s),
    )
    for door in (doors.search, doors.answer):
        if door is not None:
            metrics.watch_door(door)
    return doors
