"""Jobs in NATS JetStream: a work-queue stream on disk, a durable pull consumer, and a stream of dead letters.

`put` waits for the server's acknowledgement of each message. Whether that means "on disk" is the server's setting:
`sync_interval: always`, or a power cut takes up to two minutes of messages (docs/how-to/workers.md). Message ids are
remembered for half a minute, so a message sent twice is mostly kept once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RawStreamMsg, RetentionPolicy, StorageType, StreamConfig

from penstock.core.errors import StageUnavailable
from penstock.core.messages import DeadLetter, Lease, QueueMessage, Verdict

PUT_AT_ONCE = 64
ANSWER_S = 5.0
SHORTEST_WAIT_S = 0.05
REMEMBER_IDS_S = 30.0
ACK, NAK, IN_PROGRESS = b"+ACK", b"-NAK ", b"+WPI"
"""What is said to a delivery's own subject."""


class Dead(msgspec.Struct, frozen=True):
    """A dead letter as its stream keeps it."""

    id: str
    body: bytes
    reason: str
    attempts: int
    buried_s: float


class NatsQueue:
    """Implements core.ports.Queue."""

    def __init__(self, *, url: str, name: str = "penstock", lease_s: float = 30.0) -> None:
        self._url = url
        self._stream = f"{name}-jobs"
        self._dead_stream = f"{name}-dead"
        self._subject = f"{name}.jobs"
        self._dead_subject = f"{name}.dead"
        self._consumer = f"{name}-workers"
        self._lease_s = lease_s
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._pull: JetStreamContext.PullSubscription | None = None
        self._until_s: dict[str, float] = {}
        self._connecting = asyncio.Lock()
        self._fetching = asyncio.Lock()
        """Two who fetch at once would take each other's answers."""

    async def start(self) -> None:
        """Nothing is opened before it is used: a broker that is down must not keep the server from starting."""

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            self._js = None

    async def put(self, messages: Sequence[QueueMessage]) -> None:
        async with self._connected() as js:
            for start in range(0, len(messages), PUT_AT_ONCE):
                await asyncio.gather(
                    *(
                        js.publish(
                            self._subject,
                            message.body,
                            timeout=ANSWER_S,
                            stream=self._stream,
                            headers={"Nats-Msg-Id": message.id},
                        )
                        for message in messages[start : start + PUT_AT_ONCE]
                    )
                )

    async def lease(self, limit: int, *, wait_s: float) -> list[Lease]:
        async with self._connected():
            try:
                async with asyncio.timeout(max(SHORTEST_WAIT_S, wait_s)):
                    await self._fetching.acquire()
            except TimeoutError:
                return []
            try:
                leases = [_lease(message) for message in await self._fetched(1, wait_s)]
                if leases and limit > 1:
                    leases += await self._more(leases[0], limit - 1)
            finally:
                self._fetching.release()
        self._hold(leases)
        return leases

    async def _more(self, first: Lease, limit: int) -> list[Lease]:
        """What is there beside the first."""
        try:
            return [_lease(message) for message in await self._fetched(limit, SHORTEST_WAIT_S)]
        except BaseException:
            await self._say(first, NAK)
            raise

    async def _fetched(self, limit: int, wait_s: float) -> list[Msg]:
        """The client waits until there are as many as it was asked for, or the time is up."""
        assert self._pull is not None, "connected"
        try:
            return await self._pull.fetch(limit, timeout=max(SHORTEST_WAIT_S, wait_s))
        except nats.errors.TimeoutError:
            return []

    async def extend(self, leases: Sequence[Lease]) -> None:
        async with self._connected():
            mine = [lease for lease in leases if self._holds(lease)]
            for lease in mine:
                await self._say(lease, IN_PROGRESS)
            self._hold(mine)

    async def settle(self, verdicts: Sequence[Verdict]) -> None:
        async with self._connected() as js:
            for verdict in verdicts:
                if not self._holds(verdict.lease):
                    continue
                if verdict.kind == "retry":
                    await self._say(verdict.lease, NAK + msgspec.json.encode({"delay": int(verdict.after_s * 1e9)}))
                else:
                    if verdict.kind == "bury":
                        await self._bury(js, verdict)
                    assert self._client is not None, "connected"
                    await self._client.request(verdict.lease.token, ACK, timeout=ANSWER_S)
                self._until_s.pop(verdict.lease.token, None)

    def _hold(self, leases: Sequence[Lease]) -> None:
        now_s = time.monotonic()
        self._until_s = {token: until_s for token, until_s in self._until_s.items() if until_s > now_s}
        self._until_s.update({lease.token: now_s + self._lease_s for lease in leases})

    def _holds(self, lease: Lease) -> bool:
        """Kept here, because the server would take the word of a holder whose time is up."""
        return self._until_s.get(lease.token, 0.0) > time.monotonic()

    async def _say(self, lease: Lease, what: bytes) -> None:
        """To the subject that the delivery came with: it is good on any connection, also on one made since."""
        assert self._client is not None, "connected"
        await self._client.publish(lease.token, what)

    async def _bury(self, js: JetStreamContext, verdict: Verdict) -> None:
        """In the other stream before it leaves this one; a crash in between buries it twice, under one id."""
        lease = verdict.lease
        letter = Dead(lease.message.id, lease.message.body, verdict.reason, lease.attempt, time.time())
        await js.publish(
            self._dead_subject,
            msgspec.json.encode(letter),
            timeout=ANSWER_S,
            stream=self._dead_stream,
            headers={"Nats-Msg-Id": f"{lease.message.id}-{lease.attempt}"},
        )

    async def dead(self, limit: int) -> list[DeadLetter]:
        async with self._connected() as js:
            return [letter for _, letter in await self._letters(js, limit)]

    async def replay(self, ids: Sequence[str]) -> int:
        wanted = set(ids)
        replayed = 0
        async with self._connected() as js:
            for sequence, letter in await self._letters(js, None):
                if letter.id in wanted:
                    # Another id than before: the server would take the same one for a message sent twice.
                    again = f"{letter.id}-{letter.buried_s}"
                    headers = {"Nats-Msg-Id": again, "Penstock-Id": letter.id}
                    await js.publish(self._subject, letter.body, timeout=ANSWER_S, stream=self._stream, headers=headers)
                    await js.delete_msg(self._dead_stream, sequence)
                    replayed += 1
        return replayed

    async def _letters(self, js: JetStreamContext, limit: int | None) -> list[tuple[int, DeadLetter]]:
        state = (await js.stream_info(self._dead_stream)).state
        letters: dict[str, tuple[int, DeadLetter]] = {}
        sequence = state.first_seq
        while sequence <= state.last_seq and (limit is None or len(letters) < limit):
            raw = await self._raw(js, sequence)
            if raw is None:
                break
            sequence = (raw.seq or sequence) + 1
            letter = msgspec.json.decode(raw.data or b"", type=Dead)
            letters[letter.id] = (sequence - 1, DeadLetter(**msgspec.structs.asdict(letter)))
        return list(letters.values())

    async def _raw(self, js: JetStreamContext, sequence: int) -> RawStreamMsg | None:
        """The first message from there on."""
        try:
            return await js.get_msg(self._dead_stream, sequence, subject=self._dead_subject, next=True)
        except nats.js.errors.NotFoundError:
            return None

    async def depth(self) -> int:
        async with self._connected() as js:
            return int((await js.stream_info(self._stream)).state.messages)

    # --- connecting -------------------------------------------------------------------------

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[JetStreamContext]:
        """Connect where that is not so yet, and translate what goes wrong inside."""
        try:
            async with self._connecting:
                if self._js is None or self._client is None or self._client.is_closed:
                    async with asyncio.timeout(ANSWER_S):
                        await self._connect()
            assert self._js is not None, "connected"
            yield self._js
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
            raise StageUnavailable("queue", f"NATS: {error or type(error).__name__}") from error

    async def _connect(self) -> None:
        client = await nats.connect(
            self._url,
            connect_timeout=2,
            max_reconnect_attempts=1,
            ping_interval=2,
            max_outstanding_pings=2,
            # The client would keep what is said meanwhile for later; we want to hear that it was not said.
            allow_reconnect=False,
            error_cb=_ignored,
        )
        try:
            js = client.jetstream(timeout=ANSWER_S)
            await js.add_stream(self._config(self._stream, self._subject, RetentionPolicy.WORK_QUEUE))
            await js.add_stream(self._config(self._dead_stream, self._dead_subject, RetentionPolicy.LIMITS))
            consumer = ConsumerConfig(
                durable_name=self._consumer,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._lease_s,
                max_deliver=-1,  # how often is ours to decide: a broker does not know whose fault it was
                max_ack_pending=100_000,
            )
            self._pull = await js.pull_subscribe(
                self._subject, durable=self._consumer, stream=self._stream, config=consumer
            )
        except BaseException:
            await client.close()
            raise
        self._client, self._js = client, js

    def _config(self, stream: str, subject: str, retention: RetentionPolicy) -> StreamConfig:
        return StreamConfig(
            name=stream,
            subjects=[subject],
            retention=retention,
            storage=StorageType.FILE,
            duplicate_window=REMEMBER_IDS_S,
        )


async def _ignored(_error: Exception) -> None:
    """The client tells of lost connections here; whoever calls is told by the call."""


def _lease(message: Msg) -> Lease:
    headers = message.headers or {}
    identifier = headers.get("Penstock-Id") or headers.get("Nats-Msg-Id", message.reply)
    return Lease(
        token=message.reply,
        message=QueueMessage(id=identifier, body=message.data),
        attempt=message.metadata.num_delivered or 1,
    )
