"""Jobs in a Redis stream with a consumer group; those that wait for a while in a sorted set; dead letters in a stream.

Durable as far as Redis is: `appendonly yes` with `appendfsync always`, or a power cut takes about a second
(docs/how-to/workers.md). A message is taken over when its holder was not heard of for `lease_s`; holders say that they
live by claiming their own messages again. Every change of two keys is one script: it happens whole or not at all.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as client
from redis.exceptions import RedisError, ResponseError

from penstock.core.errors import StageUnavailable
from penstock.core.messages import DeadLetter, Lease, QueueMessage, Verdict

GROUP = "workers"
ANSWER_S = 5.0
LOOK_EVERY_S = 0.5

# KEYS: later, jobs. ARGV: now, limit. What has waited long enough goes into the stream.
RIPEN = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do
  local message = cmsgpack.unpack(member)
  redis.call('XADD', KEYS[2], '*', 'id', message[1], 'body', message[2], 'attempts', message[3])
  redis.call('ZREM', KEYS[1], member)
end
return #due
"""
# KEYS: jobs. ARGV: group, consumer, entries. Each is ours for another while, if it still is ours.
EXTEND = """
for index = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[index], ARGV[index], 1)
  if pending[1] and pending[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[index], 'JUSTID')
  end
end
return 0
"""
# KEYS: jobs, later, dead. ARGV: group, consumer, entry, kind, id, body, attempts, due or buried, reason.
SETTLE = """
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if not pending[1] or pending[1][2] ~= ARGV[2] then return 0 end
if ARGV[4] == 'retry' then
  redis.call('ZADD', KEYS[2], ARGV[8], cmsgpack.pack({ARGV[5], ARGV[6], ARGV[7]}))
elseif ARGV[4] == 'bury' then
  redis.call('XADD', KEYS[3], '*', 'id', ARGV[5], 'body', ARGV[6], 'attempts', ARGV[7], 'buried', ARGV[8],
             'reason', ARGV[9])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
return 1
"""
# KEYS: dead, jobs. ARGV: entry, id, body.
REPLAY = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'id', ARGV[2], 'body', ARGV[3], 'attempts', '0')
return 1
"""


class RedisQueue:
    """Implements core.ports.Queue."""

    def __init__(self, *, url: str, name: str = "penstock", lease_s: float = 30.0) -> None:
        self._client = client.Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=2.0)
        # In braces, so that a cluster keeps them on one node.
        self._jobs, self._later, self._dead = (f"{{{name}}}:{kind}" for kind in ("jobs", "later", "dead"))
        self._lease_s = lease_s
        self._consumer = secrets.token_hex(6)
        self._ripen = self._client.register_script(RIPEN)
        self._extend = self._client.register_script(EXTEND)
        self._settle = self._client.register_script(SETTLE)
        self._replay = self._client.register_script(REPLAY)

    async def start(self) -> None:
        """Nothing is opened before it is used: a broker that is down must not keep the server from starting."""

    async def stop(self) -> None:
        await self._client.aclose()

    async def put(self, messages: Sequence[QueueMessage]) -> None:
        async with self._translated(), self._client.pipeline(transaction=True) as pipeline:
            for message in messages:
                pipeline.xadd(self._jobs, {"id": message.id, "body": message.body, "attempts": "0"})
            await pipeline.execute()

    async def lease(self, limit: int, *, wait_s: float) -> list[Lease]:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        async with self._translated():
            while True:
                await self._ripen(keys=[self._later, self._jobs], args=[time.time(), limit])
                leases = await self._abandoned(limit)
                left_s = max(0.0, until_s - loop.time())
                if len(leases) < limit:
                    pause_s = 0.001 if leases else min(max(0.001, left_s), LOOK_EVERY_S)
                    leases += await self._fresh(limit - len(leases), pause_s)
                if leases or left_s <= 0:
                    return leases

    async def _abandoned(self, limit: int) -> list[Lease]:
        """Messages of holders that fell silent."""
        idle_ms = int(self._lease_s * 1000)
        answer: Any = await self._grouped(
            lambda: self._client.xautoclaim(self._jobs, GROUP, self._consumer, min_idle_time=idle_ms, count=limit)
        )
        leases = []
        for entry, fields in answer[1]:
            pending: Any = await self._client.xpending_range(self._jobs, GROUP, min=entry, max=entry, count=1)
            if pending and fields:
                leases.append(_lease(entry, fields, delivered=int(pending[0]["times_delivered"])))
        return leases

    async def _fresh(self, limit: int, wait_s: float) -> list[Lease]:
        answer: Any = await self._grouped(
            lambda: self._client.xreadgroup(
                GROUP, self._consumer, {self._jobs: ">"}, count=limit, block=max(1, int(wait_s * 1000))
            )
        )
        return [_lease(entry, fields, delivered=1) for _, entries in answer or [] for entry, fields in entries]

    async def _grouped(self, ask: Any) -> Any:
        """Make the group where there is none: at the first start, and after the server has lost everything."""
        try:
            return await ask()
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        try:
            await self._client.xgroup_create(self._jobs, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        return await ask()

    async def extend(self, leases: Sequence[Lease]) -> None:
        async with self._translated():
            await self._extend(keys=[self._jobs], args=[GROUP, self._consumer, *(lease.token for lease in leases)])

    async def settle(self, verdicts: Sequence[Verdict]) -> None:
        async with self._translated():
            for verdict in verdicts:
                lease = verdict.lease
                at_s = time.time() + (verdict.after_s if verdict.kind == "retry" else 0.0)
                await self._settle(
                    keys=[self._jobs, self._later, self._dead],
                    args=[
                        GROUP,
                        self._consumer,
                        lease.token,
                        verdict.kind,
                        lease.message.id,
                        lease.message.body,
                        lease.attempt,
                        at_s,
                        verdict.reason,
                    ],
                )

    async def dead(self, limit: int) -> list[DeadLetter]:
        async with self._translated():
            return [letter for _, letter in await self._letters(limit)]

    async def replay(self, ids: Sequence[str]) -> int:
        wanted = set(ids)
        replayed = 0
        async with self._translated():
            for entry, letter in await self._letters(None):
                if letter.id in wanted:
                    replayed += await self._replay(keys=[self._dead, self._jobs], args=[entry, letter.id, letter.body])
        return replayed

    async def depth(self) -> int:
        async with self._translated():
            return int(await self._client.xlen(self._jobs)) + int(await self._client.zcard(self._later))

    async def _letters(self, limit: int | None) -> list[tuple[bytes, DeadLetter]]:
        entries: Any = await self._client.xrange(self._dead, count=limit)
        return [(entry, _letter(fields)) for entry, fields in entries]

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise StageUnavailable("queue", f"Redis: {error or type(error).__name__}") from error


def _lease(entry: bytes, fields: dict[bytes, bytes], *, delivered: int) -> Lease:
    message = QueueMessage(id=fields[b"id"].decode(), body=fields[b"body"])
    return Lease(token=entry.decode(), message=message, attempt=int(fields[b"attempts"]) + delivered)


def _letter(fields: dict[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        id=fields[b"id"].decode(),
        body=fields[b"body"],
        reason=fields[b"reason"].decode(),
        attempts=int(fields[b"attempts"]),
        buried_s=float(fields[b"buried"]),
    )
