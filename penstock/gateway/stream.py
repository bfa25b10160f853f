"""Sends events as they come. Whatever ends a stream early is an event too: none ends in silence."""

from __future__ import annotations

import asyncio

from starlette.types import Send

from penstock.core.errors import DeadlineExceeded, Overloaded
from penstock.gateway.errors import event_of
from penstock.gateway.presence import Presence
from penstock.gateway.reply import EVENTS, Events

LAST_WORD_S = 1.0
"""How long a reader that does not read may hold the last event of a stream that was cut."""


async def stream(events: Events, send: Send, *, presence: Presence, request_id: str) -> None:
    """From the first event to the last. An error before the first one is raised, to be answered with its own status."""
    chunks = events.chunks
    failed = events.failed or event_of
    try:
        first = await anext(chunks)
        await send({"type": "http.response.start", "status": 200, "headers": list(EVENTS)})
        last = b""
        try:
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except asyncio.CancelledError:
            if presence.ended == "gone":
                raise
            last = failed(_why_cut(presence), request_id)
        except Exception as error:  # noqa: BLE001 - translated for the caller, and logged where it is not ours
            last = failed(error, request_id)
        async with asyncio.timeout(LAST_WORD_S if last else None):
            await send({"type": "http.response.body", "body": last})
    finally:
        await chunks.aclose()


def _why_cut(presence: Presence) -> DeadlineExceeded | Overloaded:
    if presence.ended == "late":
        return DeadlineExceeded(stage="answer")
    return Overloaded("The server is stopping. Ask again.")
