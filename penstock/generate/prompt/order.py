"""The order of passages in a prompt, so that engines find as much of it as possible in their prefix cache.

The recent orders form a tree. A new set of passages first walks the longest path of the tree that it can (those are
prompts the engine has seen), and puts the rest behind, the most often used first, since those are likeliest to be
shared again. After ContextPilot (MLSys 2026). Each scope (tenant and instructions) has a tree of its own: prompts of
different scopes share no prefix.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence

MAX_LOOKS = 2_000
"""Nodes that one walk may visit; it takes the best path found by then."""


class _Node:
    __slots__ = ("children",)

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}


class RecentOrders:
    """At most `limit` nodes; the scopes' oldest first passages are forgotten with all below them."""

    def __init__(self, *, limit: int = 200_000) -> None:
        self._limit = limit
        self._size = 0
        self._roots: OrderedDict[tuple[str, str], _Node] = OrderedDict()
        self._uses: Counter[str] = Counter()

    def order(self, scope: str, keys: Sequence[str]) -> list[str]:
        """`keys` without repeats, in the order to use; remembers it."""
        wanted = dict.fromkeys(keys)
        if len(self._uses) > self._limit:
            self._uses = Counter({key: uses // 2 for key, uses in self._uses.items() if uses > 1})
        self._uses.update(wanted.keys())
        path = self._longest(scope, wanted)
        rest = sorted((key for key in wanted if key not in path), key=lambda key: (-self._uses[key], key))
        ordered = [*path, *rest]
        self._remember(scope, ordered)
        return ordered

    def _longest(self, scope: str, wanted: dict[str, None]) -> list[str]:
        looks = iter(range(MAX_LOOKS))
        best: list[str] = []
        for first in wanted:
            node = self._roots.get((scope, first))
            if node is not None:
                best = max(best, [first, *_below(node, wanted.keys() - {first}, looks)], key=len)
        return best

    def _remember(self, scope: str, ordered: Sequence[str]) -> None:
        if not ordered:
            return
        root = (scope, ordered[0])
        node = self._roots.get(root)
        if node is None:
            node = self._roots[root] = _Node()
            self._size += 1
        self._roots.move_to_end(root)
        for key in ordered[1:]:
            child = node.children.get(key)
            if child is None:
                child = node.children[key] = _Node()
                self._size += 1
            node = child
        while self._size > self._limit and len(self._roots) > 1:
            self._size -= _count(self._roots.popitem(last=False)[1])


def _below(node: _Node, wanted: set[str], looks: Iterator[int]) -> list[str]:
    best: list[str] = []
    for key in sorted(wanted):
        child = node.children.get(key)
        if child is None:
            continue
        if next(looks, None) is None:
            break
        best = max(best, [key, *_below(child, wanted - {key}, looks)], key=len)
    return best


def _count(node: _Node) -> int:
    waiting, count = [node], 0
    while waiting:
        count += 1
        waiting += waiting.pop().children.values()
    return count
