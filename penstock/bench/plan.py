"""Everything that will be sent, made before the first is: bytes and the moment they are due."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.bench.arrivals import arrivals
from penstock.bench.load import Kind, Length, Load, Stream
from penstock.bench.questions import Questions, choose, deck

encode = msgspec.json.Encoder().encode


class Target(msgspec.Struct, frozen=True):
    """Where requests go. `model` empty leaves the choice to the server."""

    host: str
    port: int
    store: str = ""
    model: str = ""
    limit: int = 5


class Shot(msgspec.Struct, frozen=True):
    """One request, ready to write to a socket."""

    payload: bytes
    kind: Kind
    stream: int


class Plan(msgspec.Struct, frozen=True):
    """Shots by the moment they are due, and for each closed stream its endless supply."""

    due_s: NDArray[np.float64]
    shots: list[Shot]
    closed: list[tuple[Stream, Iterator[Shot]]]


def plan(load: Load, questions: Questions, target: Target) -> Plan:
    """The same for the same seed, whatever machine and server."""
    all_due: list[NDArray[np.float64]] = [np.zeros(0)]
    all_shots: list[Shot] = []
    closed: list[tuple[Stream, Iterator[Shot]]] = []
    for place, stream in enumerate(load.streams):
        random = np.random.default_rng([load.seed, place])
        maker = _Maker(stream, place, target)
        if stream.closed:
            closed.append((stream, maker.endless(questions, random)))
            continue
        due = arrivals(stream, load.total_s, random)
        all_due.append(due.at_s)
        all_shots += maker.shots(questions, due.rank, due.identity, random)
    due_s = np.concatenate(all_due)
    order = np.argsort(due_s, kind="stable")
    return Plan(due_s=due_s[order], shots=[all_shots[place] for place in order], closed=closed)


class _Maker:
    """Makes the shots of one stream."""

    def __init__(self, stream: Stream, place: int, target: Target) -> None:
        self._stream = stream
        self._place = place
        self._target = target
        self._made: dict[tuple[Kind, str], Shot] = {}
        self._head = _head(stream, target)

    def shots(
        self,
        questions: Questions,
        rank: NDArray[np.float64],
        identity: NDArray[np.int64],
        random: np.random.Generator,
    ) -> list[Shot]:
        """One for each arrival: heavy arrivals ask long questions, the same identity asks the same."""
        kinds: list[Kind] = list(self._stream.kinds)
        lengths: list[Length] = list(self._stream.lengths)
        kind_of = choose(self._stream.kinds.values(), random.random(len(rank)))
        length_of = choose(self._stream.lengths.values(), rank)
        texts = np.empty(len(rank), dtype=object)
        for place, length in enumerate(lengths):
            cards = np.array(deck(questions.by_length[length], random), dtype=object)
            mine = length_of == place
            _, dealt = np.unique(identity[mine], return_inverse=True)
            texts[mine] = cards[dealt % len(cards)]
        return [self._shot(kinds[kind], text) for kind, text in zip(kind_of, texts, strict=True)]

    def endless(self, questions: Questions, random: np.random.Generator) -> Iterator[Shot]:
        rounds = 4_096
        ranks = random.random(rounds)
        return cycle(self.shots(questions, ranks, np.arange(rounds), random))

    def _shot(self, kind: Kind, text: str) -> Shot:
        shot = self._made.get((kind, text))
        if shot is None:
            shot = self._made[kind, text] = Shot(payload=self._payload(kind, text), kind=kind, stream=self._place)
        return shot

    def _payload(self, kind: Kind, text: str) -> bytes:
        if kind == "search":
            path = f"/v1/vector_stores/{quote(self._target.store, safe='')}/search"
            body: dict[str, object] = {"query": text, "max_num_results": self._target.limit}
        else:
            path = "/v1/chat/completions"
            body = {"messages": [{"role": "user", "content": text}], "stream": kind == "stream"}
            if self._target.model:
                body["model"] = self._target.model
        content = encode(body)
        return b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (
            path.encode("ascii"),
            self._head,
            len(content),
            content,
        )


def _head(stream: Stream, target: Target) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = [f"host: {host}:{target.port}", "content-type: application/json"]
    if key := stream.api_key():
        lines.append(f"authorization: Bearer {key}")
    if stream.timeout_s:
        lines.append(f"x-request-timeout: {stream.timeout_s:g}")
    return "".join(line + "\r\n" for line in lines).encode("latin-1")
