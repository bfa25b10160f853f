"""The search for the highest load that a server carries: double until it does not, then halve the gap."""

from __future__ import annotations

CLOSE_ENOUGH = 1.1
MOST_TRIALS = 24


class CapacitySearch:
    """Ask `next_rate`, try it, `tell` how it went; done when it is None. Decides only; runs nothing.

    It takes for granted that a server that carries a load carries every lighter one. Noise can break that: the result
    is where this run crossed the line, and a repeat may cross it elsewhere.
    """

    def __init__(self, *, first_rate: float, highest_rate: float = 1e6) -> None:
        self._rate: float | None = first_rate
        self._highest_rate = highest_rate
        self._trials = 0
        self.carried = 0.0
        """The highest rate carried so far; 0: none was."""
        self.refused = 0.0
        """The lowest rate that was not carried; 0: every one was."""

    @property
    def next_rate(self) -> float | None:
        return self._rate

    def tell(self, *, carried: bool) -> None:
        """How `next_rate` went."""
        assert self._rate is not None
        self._trials += 1
        if carried:
            self.carried = max(self.carried, self._rate)
        else:
            self.refused = min(self.refused or self._rate, self._rate)
        self._rate = self._following(self._rate)

    def _following(self, rate: float) -> float | None:
        if self._trials >= MOST_TRIALS:
            return None
        if not self.refused:
            return rate * 2 if rate < self._highest_rate else None
        if not self.carried:
            return rate / 2 if rate > 0.1 else None
        if self.refused / self.carried <= CLOSE_ENOUGH:
            return None
        return float((self.refused * self.carried) ** 0.5)
