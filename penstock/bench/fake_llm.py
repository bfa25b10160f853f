"""A fake OpenAI-compatible server for tests and benchmarks: slots, timed tokens, a prefix cache, and faults on demand.

Capacity is slots and timers, not CPU. It records when requests came, what budget they carried and when they were cut.
`python -m penstock.bench.fake_llm --port 9000 --slots 32 --first-token-ms 200 --token-ms 10`; `POST /control` with
`{"fault": "hang_tokens"}` changes it while it runs, `GET /stats` tells what happened. Tokens are one word each.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec
import uvloop

from penstock.bench.fake_behaviour import FAULTS, Behaviour, Fault, Seen
from penstock.bench.fake_connection import Connection

BLOCK_TOKENS = 16


class PrefixCache:
    """Which blocks of prompts have been seen, each together with all before it; the oldest leave first."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def cached(self, words: list[str], limit: int) -> int:
        """Tokens at the head of `words` that were seen before; remembers all of them."""
        hits, chain, matching = 0, 0, True
        for start in range(0, len(words) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
            chain = hash((chain, *words[start : start + BLOCK_TOKENS]))
            matching = matching and chain in self._blocks
            hits += BLOCK_TOKENS * matching
            self._blocks[chain] = None
            self._blocks.move_to_end(chain)
        while len(self._blocks) > limit:
            self._blocks.popitem(last=False)
        return hits


class FakeLLM:
    """The server. `start` listens on a port of its own unless told one; `stop` cuts every connection."""

    def __init__(self, *, behaviour: Behaviour | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.behaviour = behaviour or Behaviour()
        self.seen: list[Seen] = []
        self.slots_in_use = 0
        self.most_in_use = 0
        self._cache = PrefixCache()
        self.connections: set[Connection] = set()
        self._waiting: deque[Connection] = deque()
        self._host, self.port = host, port
        self._server: asyncio.Server | None = None
        self._faults_due = 0.0
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}/v1"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), self._host, self.port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse from now on, and cut what is under way."""
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None

    def cached(self, words: list[str]) -> int:
        """Tokens at the head of a prompt that the prefix cache holds; it holds all of them from now on."""
        return self._cache.cached(words, self.behaviour.cache_blocks)

    def next_fault(self) -> Fault:
        """The fault that the next request meets."""
        if self.behaviour.fault == "none":
            return "none"
        self._faults_due += self.behaviour.fault_share
        if self._faults_due < 1.0:
            return "none"
        self._faults_due -= 1.0
        return self.behaviour.fault

    def take_slot(self, connection: Connection) -> bool:
        """True when there is one; else the connection is called when its turn comes."""
        if self.slots_in_use >= self.behaviour.slots:
            self._waiting.append(connection)
            return False
        self.slots_in_use += 1
        self.most_in_use = max(self.most_in_use, self.slots_in_use)
        return True

    async def until(self, state: Callable[[], bool], *, within_s: float = 1.0) -> None:
        """Wait for a state of this server, as its requests come and end. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not state():
                self._changed.clear()
                await self._changed.wait()

    def note(self) -> None:
        """Something changed: whoever waits looks again."""
        self._changed.set()

    def give_back_slot(self) -> None:
        self.slots_in_use -= 1
        while self._waiting and self.slots_in_use < self.behaviour.slots:
            connection = self._waiting.popleft()
            if connection.wants_slot:
                self.slots_in_use += 1
                connection.begin()

    def stats(self) -> dict[str, object]:
        """What has happened so far, for another process to read."""
        ends = [seen.end for seen in self.seen]
        return {
            "requests": len(self.seen),
            "slots_in_use": self.slots_in_use,
            "most_in_use": self.most_in_use,
            "connections": len(self.connections),
            "ends": {end: ends.count(end) for end in set(ends)},
            "prompt_tokens": sum(seen.prompt_tokens for seen in self.seen),
            "cached_tokens": sum(seen.cached_tokens for seen in self.seen),
            "seen": msgspec.to_builtins(self.seen[-2000:]),
        }


async def _serve(server: FakeLLM) -> None:
    await server.start()
    print(f"listening on {server.url}", flush=True)  # noqa: T201 - a program's own output
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--fault", choices=FAULTS, default="none")
    for name, kind in (("slots", int), ("tokens", int), ("first-token-ms", float), ("token-ms", float)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Behaviour(), name.replace("-", "_")))
    parser.add_argument("--answer", default="")
    options = vars(parser.parse_args())
    host, port = options.pop("host"), options.pop("port")
    try:
        uvloop.run(_serve(FakeLLM(behaviour=Behaviour(**options), host=host, port=port)))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
