"""One request's stay: what the door and the limits must hear of it from the route that serves it."""

from __future__ import annotations

from penstock.flow.admission import Permit


class Visit:
    """`tokens` is what the request turned out to use; None: as it was estimated."""

    __slots__ = ("permit", "tokens")

    def __init__(self) -> None:
        self.permit: Permit | None = None
        self.tokens: int | None = None

    def responded(self) -> None:
        """The first word of the answer is there."""
        if self.permit is not None:
            self.permit.responded()
