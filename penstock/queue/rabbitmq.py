"""Jobs in RabbitMQ: a quorum queue, publisher confirms, queues of waiting messages by delay, and one of dead letters.

A lease lasts as long as its holder's connection: a worker that dies or freezes is noticed by AMQP's own heartbeats,
and its messages come to others. A message that is retried or buried is confirmed in its new queue before it leaves
the old one; a crash in between doubles it. Delays are rounded up to the next of `DELAYS_S`, a queue each,
because a queue lets expired messages go at its head only.

The client closes its channel when a call to the broker is cancelled, and with the channel everybody's leases are gone.
So calls run to their end, also when whoever waits for them has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelClosed

from penstock.core.errors import StageUnavailable
from penstock.core.messages import DeadLetter, Lease, QueueMessage, Verdict

DELAYS_S = (1, 4, 15, 60)
HEARTBEAT_S = 4
ANSWER_S = 5.0
LOOK_EVERY_S = 0.2
GETS_AT_ONCE = 16
ATTEMPTS, REASON, BURIED = "penstock-attempts", "penstock-reason", "penstock-buried"
QUORUM: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 1_000_000,  # how often is ours to decide: a broker does not know whose fault it was
}


T = TypeVar("T")
P = ParamSpec("P")


def to_its_end(
    method: Callable[Concatenate[RabbitQueue, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[RabbitQueue, P], Coroutine[Any, Any, T]]:
    """Cancelling the caller does not break it off."""

    @wraps(method)
    async def shielded(self: RabbitQueue, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.shield(self.begun(method(self, *args, **kwargs)))

    return shielded


class RabbitQueue:
    """Implements core.ports.Queue."""

    def __init__(self, *, url: str, name: str = "penstock") -> None:
        self._url = url
        self._jobs_name = f"{name}.jobs"
        self._dead_name = f"{name}.dead"
        self._later_names = {delay_s: f"{name}.later.{delay_s}" for delay_s in DELAYS_S}
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._jobs: AbstractQueue | None = None
        self._dead: AbstractQueue | None = None
        self._leased: dict[str, AbstractIncomingMessage] = {}
        self._connecting = asyncio.Lock()
        self._calls: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Nothing is opened before it is used: a broker that is down must not keep the server from starting."""

    async def stop(self) -> None:
        while self._calls:  # each has a timeout
            await asyncio.wait(self._calls)
        connection, self._connection = self._connection, None
        self._leased.clear()
        if connection is not None:
            await connection.close()

    def begun(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that lives until `stop` at the latest, whoever waits for it."""
        task = asyncio.create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    @to_its_end
    async def put(self, messages: Sequence[QueueMessage]) -> None:
        async with self._connected() as channel:
            await asyncio.gather(
                *(self._publish(channel, self._jobs_name, message, {ATTEMPTS: 0}) for message in messages)
            )

    async def lease(self, limit: int, *, wait_s: float) -> list[Lease]:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        async with self._connected():
            assert self._jobs is not None, "connected"
            while True:
                messages = await self._get_jobs(self._jobs, limit)
                if messages or loop.time() >= until_s:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
        leases = []
        for message in messages:
            lease = _lease(message)
            self._leased[lease.token] = message
            leases.append(lease)
        return leases

    async def _get_jobs(self, queue: AbstractQueue, limit: int) -> list[AbstractIncomingMessage]:
        getting = self.begun(_get(queue, limit))
        try:
            return await asyncio.shield(getting)
        except asyncio.CancelledError:
            self.begun(_give_back(getting))
            raise

    async def extend(self, leases: Sequence[Lease]) -> None:  # noqa: ARG002 - the port's
        """The connection's heartbeats do it. Raises StageUnavailable where it is gone, and the leases with it."""
        async with self._connected():
            return

    @to_its_end
    async def settle(self, verdicts: Sequence[Verdict]) -> None:
        async with self._connected() as channel:
            for verdict in verdicts:
                message = self._leased.pop(verdict.lease.token, None)
                if message is None:
                    continue  # of a connection that is gone: another has it
                if verdict.kind == "retry":
                    await self._retry(channel, verdict)
                elif verdict.kind == "bury":
                    headers = {ATTEMPTS: verdict.lease.attempt, REASON: verdict.reason, BURIED: str(time.time())}
                    await self._publish(channel, self._dead_name, verdict.lease.message, headers)
                await message.ack()

    async def _retry(self, channel: AbstractChannel, verdict: Verdict) -> None:
        names = [name for delay_s, name in self._later_names.items() if delay_s >= verdict.after_s]
        name = self._jobs_name if verdict.after_s <= 0 else names[0] if names else self._later_names[DELAYS_S[-1]]
        await self._publish(channel, name, verdict.lease.message, {ATTEMPTS: verdict.lease.attempt})

    @to_its_end
    async def dead(self, limit: int) -> list[DeadLetter]:
        async with self._connected():
            assert self._dead is not None, "connected"
            messages = await _get(self._dead, limit)
            for message in messages:
                await message.nack(requeue=True)
            return sorted((_letter(message) for message in messages), key=lambda letter: letter.buried_s)

    @to_its_end
    async def replay(self, ids: Sequence[str]) -> int:
        wanted = set(ids)
        replayed = 0
        async with self._connected() as channel:
            assert self._dead is not None, "connected"
            others = []
            while messages := await _get(self._dead, 256):
                for message in messages:
                    letter = _letter(message)
                    if letter.id in wanted:
                        again = QueueMessage(id=letter.id, body=letter.body)
                        await self._publish(channel, self._jobs_name, again, {ATTEMPTS: 0})
                        await message.ack()
                        replayed += 1
                    else:
                        others.append(message)
            for message in others:
                await message.nack(requeue=True)
        return replayed

    @to_its_end
    async def depth(self) -> int:
        """Without those that are leased: the broker does not tell their number here."""
        count = 0
        async with self._connected() as channel:
            for name in (self._jobs_name, *self._later_names.values()):
                queue = await channel.declare_queue(name, passive=True, timeout=ANSWER_S)
                count += queue.declaration_result.message_count or 0
        return count + len(self._leased)

    async def _publish(
        self, channel: AbstractChannel, name: str, message: QueueMessage, headers: dict[str, Any]
    ) -> None:
        """Returns when the broker has confirmed it: written by a majority of the queue's nodes."""
        await channel.default_exchange.publish(
            aio_pika.Message(
                message.body,
                message_id=message.id,
                headers=headers,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            ),
            routing_key=name,
            mandatory=True,
            timeout=ANSWER_S,
        )

    # --- connecting -------------------------------------------------------------------------

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AbstractChannel]:
        """Connect where that is not so yet, and translate what goes wrong inside."""
        try:
            async with self._connecting:
                if self._channel is None or self._channel.is_closed or self._connection is None:
                    await self._connect()
            assert self._channel is not None, "connected"
            yield self._channel
        except (aiormq.exceptions.AMQPError, aiormq.exceptions.AMQPException, ChannelClosed, OSError) as error:
            raise StageUnavailable("queue", f"RabbitMQ: {error or type(error).__name__}") from error
        except (TimeoutError, RuntimeError) as error:  # the client's own word for a connection that is closing
            raise StageUnavailable("queue", f"RabbitMQ: {error or type(error).__name__}") from error

    async def _connect(self) -> None:
        self._leased.clear()  # of the connection before: they come again
        if self._connection is not None and not self._connection.is_closed:
            await self._connection.close()
        separator = "&" if "?" in self._url else "?"
        connection = await aio_pika.connect(f"{self._url}{separator}heartbeat={HEARTBEAT_S}", timeout=ANSWER_S)
        try:
            channel = await connection.channel(publisher_confirms=True)
            self._jobs = await channel.declare_queue(
                self._jobs_name,
                durable=True,
                arguments={**QUORUM, **_to(self._dead_name)},
                timeout=ANSWER_S,
            )
            self._dead = await channel.declare_queue(
                self._dead_name, durable=True, arguments=dict(QUORUM), timeout=ANSWER_S
            )
            for delay_s, name in self._later_names.items():
                later = {**QUORUM, "x-message-ttl": delay_s * 1000, **_to(self._jobs_name)}
                await channel.declare_queue(name, durable=True, arguments=later, timeout=ANSWER_S)
        except BaseException:
            await connection.close()
            raise
        self._connection, self._channel = connection, channel


def _to(name: str) -> dict[str, Any]:
    """Messages that leave a queue by themselves go to that one, and are kept until they are there."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


async def _get(queue: AbstractQueue, limit: int) -> list[AbstractIncomingMessage]:
    """Up to `limit` messages that are there now."""
    messages: list[AbstractIncomingMessage] = []
    while len(messages) < limit:
        several = min(GETS_AT_ONCE, limit - len(messages))
        answers = await asyncio.gather(*(queue.get(fail=False, timeout=ANSWER_S) for _ in range(several)))
        got = [message for message in answers if message is not None]
        messages += got
        if len(got) < several:
            break
    return messages


async def _give_back(getting: Awaitable[list[AbstractIncomingMessage]]) -> None:
    """Whoever asked for these messages has left."""
    with contextlib.suppress(Exception):  # then the connection is gone, and they come again by themselves
        for message in await getting:
            await message.nack(requeue=True)


def _lease(message: AbstractIncomingMessage) -> Lease:
    identifier = message.message_id or secrets.token_hex(12)
    attempts = _whole(message.headers.get(ATTEMPTS)) + _whole(message.headers.get("x-delivery-count"))
    return Lease(
        token=secrets.token_hex(12), message=QueueMessage(id=identifier, body=message.body), attempt=attempts + 1
    )


def _letter(message: AbstractIncomingMessage) -> DeadLetter:
    headers = message.headers
    return DeadLetter(
        id=message.message_id or "",
        body=message.body,
        reason=str(headers.get(REASON) or "The broker gave it up."),
        attempts=_whole(headers.get(ATTEMPTS)),
        buried_s=float(str(headers.get(BURIED) or 0.0)),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
