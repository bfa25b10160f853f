"""Stop texts in a stream: what might be the beginning of one is held back until it is known."""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Passes text through up to the first stop text, which is not part of the answer."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.met = False

    def feed(self, text: str) -> str:
        """The text that can be given out now."""
        if not self._stops or self.met:
            return "" if self.met else text
        self._held += text
        ends = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if ends:
            out, self._held, self.met = self._held[: min(ends)], "", True
            return out
        keep = max(overlap(self._held, stop) for stop in self._stops)
        out, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return out

    def rest(self) -> str:
        """What was held back, when nothing more comes."""
        out, self._held = self._held, ""
        return out


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
