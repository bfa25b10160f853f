"""Server-sent events from raw bytes.

Each `data:` line is one event: that is how every OpenAI-compatible server writes them. (The standard would let one
event span several such lines; none does, and some leave out the blank line between events.) Lines are cut on bytes,
so a character split between two reads is whole again before anything decodes it.
"""

from __future__ import annotations


class LineTooLong(ValueError):
    """A line went over the cap before it ended."""


class EventLines:
    """Collects bytes, gives back the payloads of finished `data:` lines."""

    def __init__(self, *, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads that `data` completes. Raises LineTooLong; holds at most the cap and one read."""
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._max_line_bytes:
            raise LineTooLong
        payloads = []
        for line in lines:
            if line.startswith(b"data:"):
                if len(line) > self._max_line_bytes:
                    raise LineTooLong
                payloads.append(line[5:].strip())
        return payloads
