"""How much of the prompts of a real week is found in a prefix cache: ragpulse's 7,106 requests, replayed in order.

    python -m benchmarks.prefix_replay [--data ../shared/data]

One replica with an endless cache by the order of passages, and four replicas with affinity. Counted in prompt tokens,
so it does not depend on the machine. The trace gives tokens a part, not a passage; a request's passages count equal.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from penstock.generate.affinity import PrefixMap, Standing, pick
from penstock.generate.prompt.order import RecentOrders
from penstock.generate.replica import HALF_LIFE_S

BLOCK_TOKENS = 512
Part = tuple[str, float]


class Request(msgspec.Struct):
    """One request of the trace, as parts with their tokens."""

    arrival_s: float
    static: list[Part]
    changing: list[Part]
    passages: list[Part]
    rest: list[Part]


def read(file: Path) -> list[Request]:
    with gzip.open(file) as lines:
        return [request_of(json.loads(line)) for line in lines]


def request_of(row: dict[str, Any]) -> Request:
    tokens, hashes = row["tokens"], row["hash_ids"]
    left = tokens["system"]
    system = []
    for place, block in enumerate(hashes["sys_prompt"]):
        last = place == len(hashes["sys_prompt"]) - 1
        system.append((f"s{block}", left if last else min(left, BLOCK_TOKENS)))
        left -= system[-1][1]
    each = tokens["passages"] / max(1, len(row["passage_ids"]))
    rest = [
        (f"{part}{block}", tokens[part] / len(hashes[name]))
        for part, name in (("history", "history"), ("web_search", "web_search"), ("user", "user_input"))
        for block in hashes[name]
    ]
    passages = [(f"p{number}", each) for number in row["passage_ids"]]
    # The last block of the system prompt changes with nearly every request (it holds the time); the others do not.
    return Request(row["arrival_s"], system[:-1], system[-1:], passages, rest)


class Cache:
    """An endless prefix cache."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}

    def serve(self, parts: list[Part]) -> float:
        """Tokens found; all of it is kept."""
        node, found, matching = self.root, 0.0, True
        for key, tokens in parts:
            matching = matching and key in node
            found += tokens if matching else 0.0
            node = node.setdefault(key, {})
        return found


def shipped(request: Request) -> list[Part]:
    return [*request.static, *request.changing, *request.passages, *request.rest]


def static_first(request: Request) -> list[Part]:
    return [*request.static, *request.passages, *request.changing, *request.rest]


def sorted_by_id(request: Request) -> list[Part]:
    return [*request.static, *sorted(set(request.passages)), *request.changing, *request.rest]


def along_recent_orders(orders: RecentOrders) -> Callable[[Request], list[Part]]:
    def ordered(request: Request) -> list[Part]:
        tokens = dict(request.passages)
        scope = "|".join(key for key, _ in request.static)
        passages = [(key, tokens[key]) for key in orders.order(scope, [key for key, _ in request.passages])]
        return [*request.static, *passages, *request.changing, *request.rest]

    return ordered


def total(requests: list[Request]) -> float:
    return sum(tokens for request in requests for _, tokens in shipped(request))


def one_replica(requests: list[Request], arrange: Callable[[Request], list[Part]]) -> float:
    cache = Cache()
    prompts = [arrange(request) for request in requests]
    found = sum(cache.serve(parts) for parts in prompts)
    return found / sum(tokens for parts in prompts for _, tokens in parts)


def replicas(requests: list[Request], count: int) -> tuple[float, float, float]:
    """Share found, load imbalance (busiest over mean, prompt tokens), and the hit rate that the map itself reports."""
    arrange, prefixes = along_recent_orders(RecentOrders()), PrefixMap()
    caches = {f"r{place}": Cache() for place in range(count)}
    served = dict.fromkeys(caches, 0.0)
    recent, now_s, found = dict.fromkeys(caches, 0.0), 0.0, 0.0
    for request in requests:
        parts = arrange(request)
        cost = sum(tokens for _, tokens in parts)
        chain, hashes = 0, []
        for key, _ in parts:
            chain = hash((chain, key))
            hashes.append(chain)
        fade = 2.0 ** ((now_s - request.arrival_s) / HALF_LIFE_S)
        recent = {name: work * fade for name, work in recent.items()}
        now_s = request.arrival_s
        matched = prefixes.matched(hashes)
        name = pick([Standing(one, 0.0, work) for one, work in recent.items()], matched, cost=cost)
        prefixes.sent(hashes, name, matched=matched.get(name, 0))
        found += caches[name].serve(parts)
        recent[name] += cost
        served[name] += cost
    return found / sum(served.values()), max(served.values()) * count / sum(served.values()), prefixes.hit_rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PENSTOCK_DATA", "../shared/data")))
    options = parser.parse_args()
    requests = read(options.data / "traces" / "ragpulse.jsonl.gz")
    print(f"{len(requests)} requests, {total(requests):,.0f} prompt tokens; share found in the prefix cache")
    for name, arrange in (("as shipped", shipped), ("static first", static_first), ("sorted by id", sorted_by_id)):
        print(f"  {name:28} {one_replica(requests, arrange):.3f}")
    began_s = time.perf_counter()
    share = one_replica(requests, along_recent_orders(RecentOrders()))
    took_us = (time.perf_counter() - began_s) / len(requests) * 1e6
    print(f"  {'along recent orders':28} {share:.3f}   bar .42   ({took_us:.0f} µs a prompt, replay included)")
    share, imbalance, told = replicas(requests, 4)
    print(f"  {'4 replicas with affinity':28} {share:.3f}   bar .39   busiest over mean {imbalance:.3f} (bar 1.1)")
    print(f"  {'  blocks, as the map says':28} {told:.3f}")


if __name__ == "__main__":
    main()
