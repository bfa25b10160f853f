"""Which replica a prompt goes to: the one that has its beginning in its prefix cache, unless that one has enough to do.

A prompt is cut into blocks, each hashed together with all before it; a bounded map remembers which replicas were given
each block. Weakness: it remembers what was sent, not what an engine still holds, so a small engine cache makes
it promise too much; and a restart of this process forgets everything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from penstock.core.types import Message

BLOCK_CHARS = 512
IN_HAND_SLACK = 0.25
LATELY_SLACK = 0.05


class Standing(msgspec.Struct, frozen=True):
    """A replica as the choice sees it, in tokens: what it has in hand, and what it was given of late."""

    name: str
    in_hand: float
    lately: float


def blocks_of(messages: Iterable[Message]) -> list[int]:
    """Chained hashes of a prompt's whole blocks. Roles count: the same text in another role is another prompt."""
    text = "\x00".join(f"{message.role}\x01{message.content}" for message in messages)
    chain = 0
    hashes = []
    for start in range(0, len(text) - BLOCK_CHARS + 1, BLOCK_CHARS):
        chain = hash((chain, text[start : start + BLOCK_CHARS]))
        hashes.append(chain)
    return hashes


def pick(standings: Sequence[Standing], matched: Mapping[str, int], *, cost: float) -> str:
    """The replica with the longest match among those that the load bounds allow; ties go to the least loaded. Pure.

    The first bound is that of consistent hashing with bounded loads: whoever has more in hand than a quarter over the
    mean is given nothing. The second keeps shares even over time, so that no replica's cache and wear run ahead.
    """
    mean_in_hand = (sum(one.in_hand for one in standings) + cost) / len(standings)
    mean_lately = (sum(one.lately for one in standings) + cost) / len(standings)
    free = [one for one in standings if one.in_hand <= mean_in_hand * (1.0 + IN_HAND_SLACK)]
    even = [one for one in free if one.lately <= mean_lately * (1.0 + LATELY_SLACK)]
    return max(even or free, key=lambda one: (matched.get(one.name, 0), -one.in_hand, -one.lately)).name


class PrefixMap:
    """Remembers at most `limit` blocks; those not met for longest are forgotten. Reports its own hit rate."""

    def __init__(self, *, limit: int = 100_000) -> None:
        self._limit = limit
        self._owners: OrderedDict[int, dict[str, None]] = OrderedDict()
        self.blocks = 0
        self.hits = 0

    @property
    def hit_rate(self) -> float:
        """Share of all blocks that went to a replica which had been given them before."""
        return self.hits / self.blocks if self.blocks else 0.0

    def matched(self, hashes: Sequence[int]) -> dict[str, int]:
        """By replica, how many blocks from the beginning it has been given."""
        found: dict[str, int] = {}
        for depth, chain in enumerate(hashes):
            owners = [name for name in self._owners.get(chain, ()) if found.get(name, 0) == depth]
            if not owners:
                break
            found.update(dict.fromkeys(owners, depth + 1))
        return found

    def sent(self, hashes: Sequence[int], name: str, *, matched: int) -> None:
        """The prompt goes to `name`, where `matched` of its blocks already were."""
        self.blocks += len(hashes)
        self.hits += matched
        for chain in hashes:
            self._owners.setdefault(chain, {})[name] = None
            self._owners.move_to_end(chain)
        while len(self._owners) > self._limit:
            self._owners.popitem(last=False)

    def forget(self, name: str) -> None:
        """The replica is gone, or has come back empty."""
        for owners in self._owners.values():
            owners.pop(name, None)
