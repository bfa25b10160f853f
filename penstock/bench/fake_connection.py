"""One client's connection to a fake engine: HTTP read and written by hand, tokens sent from timers."""

from __future__ import annotations

import asyncio
import json
import time
from functools import lru_cache
from typing import Literal, Protocol, cast

import msgspec

from penstock.bench.fake_behaviour import Behaviour, Fault, Seen
from penstock.bench.fake_faults import FaultyAnswer

WORDS = [
    *("water", "flows", "down", "the", "pipe", "to", "turn", "a", "wheel", "and"),
    *("gate", "holds", "it", "back", "until", "they", "ask", "for", "more", "of"),
]


EVENT_HEAD = b'data: {"id":"c","object":"chat.completion.chunk","created":0,"model":"fake","choices":[{"index":0,'


class Server(Protocol):
    """The server, as its connections see it."""

    behaviour: Behaviour
    seen: list[Seen]
    slots_in_use: int

    @property
    def connections(self) -> set[Connection]: ...
    def cached(self, words: list[str]) -> int: ...
    def next_fault(self) -> Fault: ...
    def take_slot(self, connection: Connection) -> bool: ...
    def give_back_slot(self) -> None: ...
    def note(self) -> None: ...
    def stats(self) -> dict[str, object]: ...


class Ask(msgspec.Struct):
    model: str = "fake"
    messages: list[dict[str, str]] = []
    prompt: str = ""
    stream: bool = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: list[str] | str | None = None
    seed: int | None = None


ask_decoder = msgspec.json.Decoder(Ask)


class Connection(asyncio.Protocol):
    """One client's connection: reads requests one after another and answers them from timers."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._holds_slot = False
        self.wants_slot = False
        self._seen: Seen | None = None
        self._ask = Ask()
        self._words: list[str] = []
        self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is not registered as one
        self._server.connections.add(self)
        if self._server.behaviour.fault == "refused":
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol's signature
        self._server.connections.discard(self)
        self._end("cut")

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        method, path, headers = _read_head(bytes(self._received[:head_end]))
        size = int(headers.get("content-length", "0"))
        if len(self._received) < head_end + 4 + size:
            return
        body = bytes(self._received[head_end + 4 : head_end + 4 + size])
        del self._received[: head_end + 4 + size]
        if path.endswith("/completions") and method == "POST":
            self._answer(body, headers)
        else:
            self._other(method, path, body)

    def _other(self, method: str, path: str, body: bytes) -> None:
        if path == "/control" and method == "POST":
            changes = {**msgspec.to_builtins(self._server.behaviour), **json.loads(body)}
            self._server.behaviour = msgspec.convert(changes, Behaviour)
            self.send_json(200, {})
        elif path == "/stats":
            self.send_json(200, self._server.stats())
        elif path.endswith("/models"):
            behaviour = self._server.behaviour
            healthy = behaviour.fault in ("none", "status_429") or not behaviour.models_fail
            self.send_json(200 if healthy else 500, {"object": "list", "data": [{"id": "fake", "object": "model"}]})
        else:
            self.send_json(404, {"error": {"message": "no such path"}})

    def _answer(self, body: bytes, headers: dict[str, str]) -> None:
        self._ask = ask_decoder.decode(body)
        behaviour = self._server.behaviour
        prompt = [word for turn in self._ask.messages for word in turn.get("content", "").split()]
        prompt = prompt or self._ask.prompt.split()
        budget = headers.get("x-penstock-timeout-ms")
        self._seen = Seen(
            model=self._ask.model,
            came_s=time.monotonic(),
            budget_ms=int(budget) if budget else None,
            authorization=headers.get("authorization", ""),
            seed=self._ask.seed,
            prompt_tokens=len(prompt),
            cached_tokens=self._server.cached(prompt),
        )
        self._server.seen.append(self._seen)
        self._server.note()
        self._words, self._sent = self._words_of(behaviour), 0
        if self._seen.authorization in behaviour.refused_keys:
            self.send_json(401, {"error": {"message": "no such key", "code": "invalid_api_key"}})
            self._end("fault")
            return
        fault = self._server.next_fault()
        if fault != "none":
            self._server.slots_in_use += 1
            self._holds_slot = True
            FaultyAnswer(fault=fault, connection=self, streamed=self._ask.stream, behaviour=behaviour).begin()
            return
        self.wants_slot = True
        if self._server.take_slot(self):
            self.begin()

    def _words_of(self, behaviour: Behaviour) -> list[str]:
        words = behaviour.answer.split(" ") if behaviour.answer else []
        limit = self._ask.max_completion_tokens or self._ask.max_tokens or (len(words) if words else behaviour.tokens)
        if not words:
            words = [WORDS[i % len(WORDS)] for i in range(limit)]
        return [word if i == 0 else f" {word}" for i, word in enumerate(words[:limit])]

    def begin(self) -> None:
        """The slot is ours: think, then speak."""
        behaviour, seen = self._server.behaviour, self._seen
        assert seen is not None
        self.wants_slot, self._holds_slot = False, True
        prefill_ms = (seen.prompt_tokens - seen.cached_tokens) * behaviour.prefill_us_per_token / 1000
        wait_s = (behaviour.first_token_ms + prefill_ms) / 1000
        if not self._ask.stream:
            wait_s += behaviour.token_ms * len(self._words) / 1000
        self.later(wait_s, self._first if self._ask.stream else self._whole)

    def later(self, wait_s: float, act: object) -> None:
        """Do it after a while, unless the connection is lost before."""
        self._timer = asyncio.get_running_loop().call_later(wait_s, act)  # type: ignore[arg-type] # a bound method

    def _first(self) -> None:
        assert self._transport is not None
        self.send_head(200, "text/event-stream")
        self._token()

    def _token(self) -> None:
        if self._sent >= len(self._words):
            self._finish()
            return
        self.send(_token_chunk(self._words[self._sent], is_completion=bool(self._ask.prompt)))
        self._sent += 1
        token_ms = self._server.behaviour.token_ms
        if token_ms:
            assert self._seen is not None
            self._seen.last_two_s = (self._seen.last_two_s[1], time.monotonic())
            self.later(token_ms / 1000, self._token)
        else:
            self._token()

    def _finish(self) -> None:
        parts = [b'%b"delta":{},"text":"","finish_reason":"%b"}]}\n\n' % (EVENT_HEAD, self._reason().encode())]
        if self._server.behaviour.say_usage:
            parts.append(b'data: {"choices":[],"usage":%b}\n\n' % json.dumps(self._usage()).encode())
        self.send_chunk(b"".join([*parts, b"data: [DONE]\n\n"]), last=True)
        self._end("complete")

    def _whole(self) -> None:
        text = "".join(self._words)
        self._sent = len(self._words)
        choice = {"index": 0, "finish_reason": self._reason(), "message": {"role": "assistant", "content": text}}
        answer: dict[str, object] = {"object": "chat.completion", "model": "fake", "choices": [choice]}
        if self._ask.prompt:
            choice["text"] = choice.pop("message")["content"]  # type: ignore[index] # the dict two lines above
        if self._server.behaviour.say_usage:
            answer["usage"] = self._usage()
        self.send_json(200, answer)
        self._end("complete")

    def _reason(self) -> str:
        limit = self._ask.max_completion_tokens or self._ask.max_tokens
        return "length" if limit is not None and len(self._words) >= limit else "stop"

    def _usage(self) -> dict[str, object]:
        seen = self._seen
        assert seen is not None
        return {
            "prompt_tokens": seen.prompt_tokens,
            "completion_tokens": len(self._words),
            "prompt_tokens_details": {"cached_tokens": seen.cached_tokens},
        }

    def _end(self, how: Literal["complete", "cut", "fault"]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.wants_slot = False
        if self._seen is not None:
            self._seen.end, self._seen.ended_s, self._seen.sent_tokens = how, time.monotonic(), self._sent
            self._seen = None
        if self._holds_slot:
            self._holds_slot = False
            self._server.give_back_slot()
        self._server.note()

    def send_head(self, status: int, content_type: str, *, size: int | None = None, **more: str) -> None:
        """The status line and headers; without a size the body follows in chunks."""
        framing = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
        headers = {**self._server.behaviour.headers, **more}
        lines = [f"HTTP/1.1 {status} Fake", f"Content-Type: {content_type}", framing]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def send_chunk(self, data: bytes, *, last: bool = False) -> None:
        self.send(_chunk(data) + (b"0\r\n\r\n" if last else b""))

    def send_json(self, status: int, value: object, **more: str) -> None:
        body = json.dumps(value).encode()
        self.send_head(status, "application/json", size=len(body), **more)
        self.send(body)

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def end_with_fault(self) -> None:
        """What follows is no longer this request."""
        self._end("fault")


@lru_cache(maxsize=4096)
def _token_chunk(word: str, *, is_completion: bool) -> bytes:
    """A token's event, ready to send: there are few words, and many events."""
    text = json.dumps(word).encode()
    part = b'"text":%b' % text if is_completion else b'"delta":{"content":%b}' % text
    return _chunk(b'%b%b,"finish_reason":null}]}\n\n' % (EVENT_HEAD, part))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _read_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *rest = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in rest)
    return method, path, {name.strip().lower(): value.strip() for name, _, value in pairs}
