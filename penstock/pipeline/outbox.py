"""The way of jobs from the catalog to the queue. A queue that is down delays them, and loses none.

A job stands in the catalog before anybody is told that its file is accepted, and stays there until it is done. It is
marked as sent once the queue has said that it has it; a crash in between sends it twice, which changes nothing, since
it can be begun only once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from penstock.catalog.jobs import Jobs, Ticket
from penstock.core.messages import QueueMessage
from penstock.core.ports import Queue

AT_ONCE = 500
PUT_TIMEOUT_S = 10.0
FORGOTTEN_S = 60.0
"""A job that the queue took so long ago, when the queue says that it is empty, has been lost there."""


class Outbox:
    """`wake` is set when there may be something to carry."""

    def __init__(self, *, jobs: Jobs, queue: Queue, now_s: Callable[[], float] = time.time) -> None:
        self._jobs = jobs
        self._queue = queue
        self._now_s = now_s
        self.wake = asyncio.Event()

    async def carry(self) -> int:
        """Take some jobs to the queue; returns how many. Raises StageUnavailable, TimeoutError."""
        tickets = await self._jobs.unsent(AT_ONCE)
        if tickets:
            async with asyncio.timeout(PUT_TIMEOUT_S):
                await self._queue.put([message_of(ticket) for ticket in tickets])
            await self._jobs.sent([ticket.job_id for ticket in tickets], now_s=self._now_s())
        return len(tickets)

    async def look_for_lost(self) -> int:
        """Let jobs be sent again that a queue has lost, with its disk or by its settings. Returns how many."""
        counts = await self._jobs.counts()
        if not counts["waiting"]:
            return 0
        async with asyncio.timeout(PUT_TIMEOUT_S):
            if await self._queue.depth():
                return 0
        lost = await self._jobs.send_again(older_than_s=self._now_s() - FORGOTTEN_S)
        if lost:
            self.wake.set()
        return lost


def message_of(ticket: Ticket) -> QueueMessage:
    return QueueMessage(id=ticket.job_id, body=msgspec.json.encode(ticket))
