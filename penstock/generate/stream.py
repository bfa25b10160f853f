"""From the bytes of a streamed answer to deltas.

What comes between two ticks (flow/ticker.py) is read at once and leaves as one delta. An answer is complete only when
the server has said why it ended: `[DONE]` alone proves nothing, since proxies send it after anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from penstock.core.errors import PenstockError, StageUnavailable
from penstock.core.types import Delta, FinishReason, Usage
from penstock.flow.ticker import Ticker
from penstock.generate.faults import STAGE, fault_in_stream
from penstock.generate.sse import EventLines, LineTooLong
from penstock.generate.watch import Watch
from penstock.generate.wire import FINISHES, Event, event_decoder

SETTLE_S = 0.02
"""After the last event we wait so long for the end of the body, so that the connection can be used again."""


class Bytes(Protocol):
    """A connection, as far as it is used here."""

    async def read(self) -> bytes: ...

    @property
    def at_end(self) -> bool: ...


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long an engine may stay silent, and how much it may say."""

    connect_s: float = 5.0
    first_token_s: float = 60.0
    between_tokens_s: float = 20.0
    line_bytes: int = 1 << 20
    answer_chars: int = 400_000
    whole_bytes: int = 4 << 20
    """Of an answer that is not streamed."""


class Reading:
    """What has been read of one answer so far."""

    def __init__(self, *, model: str, limits: Limits) -> None:
        self._model = model
        self._limits = limits
        self.text: list[str] = []
        self.events = 0
        self.chars = 0
        self.finish: FinishReason | None = None
        self.usage: Usage | None = None
        self.done = False

    def take(self, payload: bytes) -> None:
        """Read one event. Raises StageUnavailable or Overloaded for an event that is an error or no event at all."""
        if payload == b"[DONE]":
            self.done = True
            return
        try:
            event = event_decoder.decode(payload)
        except msgspec.DecodeError as error:
            raise self.broken("an event that is not JSON") from error
        self.take_event(event)

    def take_event(self, event: Event) -> None:
        fault = event.fault()
        if fault is not None:
            raise fault_in_stream(fault, model=self._model)
        if event.usage is not None:
            self.usage = event.usage.as_usage()
        if not event.choices:
            return
        choice = event.choices[0]
        words = choice.words()
        if words:
            self.text.append(words)
            self.events += 1
            self.chars += len(words)
        if choice.finish_reason is not None:
            self.finish = FINISHES.get(choice.finish_reason)
            if self.finish is None:
                raise self.broken(f"the unknown end '{choice.finish_reason[:40]}'")
        elif self.chars > self._limits.answer_chars:
            self.finish, self.done = "length", True

    def drain(self) -> str:
        """The text that has not left yet."""
        text = "".join(self.text)
        self.text.clear()
        return text

    def broken(self, what: str) -> StageUnavailable:
        return StageUnavailable(STAGE, f"the engine of '{self._model}' sent {what}")


async def read_stream(
    content: Bytes, reading: Reading, watch: Watch, limits: Limits, ticker: Ticker
) -> AsyncGenerator[Delta]:
    """Deltas with text: the first at once, then what came until each tick.

    Returns when the answer is complete, raises when it will not be.
    """
    lines = EventLines(max_line_bytes=limits.line_bytes)
    watch.expect("first token", limits.first_token_s)
    with ticker.stream():
        while not reading.done:
            try:
                data = await content.read()
            except (OSError, PenstockError) as error:
                if reading.finish is not None:
                    return
                raise watch.error or reading.broken(f"only a part of its answer ({type(error).__name__})") from error
            if not data:
                break
            try:
                payloads = lines.feed(data)
            except LineTooLong as error:
                raise reading.broken(f"a line of more than {limits.line_bytes} bytes") from error
            for payload in payloads:
                reading.take(payload)
            # Bytes that complete no event are not progress: a server may not stay alive a byte at a time.
            if payloads:
                if reading.text and not reading.done:
                    watch.rest()
                    yield Delta(text=reading.drain())
                    await ticker.tick()
                watch.expect("further token", limits.between_tokens_s)
    if reading.finish is None:
        raise reading.broken("only a part of its answer")
    await _settle(content)


async def _settle(content: Bytes) -> None:
    if content.at_end:
        return
    try:
        async with asyncio.timeout(SETTLE_S):
            while await content.read():
                pass
    except (TimeoutError, OSError, PenstockError):
        # The answer is complete; only the connection is not fit to be used again.
        return
