"""Reading server-sent events in tests."""

from __future__ import annotations

import json
from typing import Any


def events_of(body: str) -> list[tuple[str, Any]]:
    """Name and data of each event; data that is JSON is read."""
    events = []
    for block in body.split("\n\n"):
        if not block.strip():
            continue
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        data = fields["data"]
        events.append((fields.get("event", "message"), data if data == "[DONE]" else json.loads(data)))
    return events


def text_of(events: list[tuple[str, Any]]) -> str:
    """The answer's text, put together."""
    return "".join(
        chunk["choices"][0]["delta"].get("content", "")
        for name, chunk in events
        if name == "message" and chunk != "[DONE]" and chunk["choices"]
    )
