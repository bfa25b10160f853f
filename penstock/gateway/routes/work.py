"""`/v1/work`: for workers beside the server, whose key has the scope `worker` and opens nothing else.

A worker reads the content only of files that it has begun, and hands in results only for those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import numpy as np

from penstock.catalog.jobs import Assignment, Refused
from penstock.config import QueueSettings
from penstock.core.errors import BadDocument, Conflict, InvalidRequest, TooLarge
from penstock.core.messages import Lease
from penstock.gateway.errors import ClientGone
from penstock.gateway.operation import Call, Handle, Operation
from penstock.gateway.receive import SlowBody
from penstock.gateway.reply import NO_STORE, Reply
from penstock.gateway.wire.work import (
    Beat,
    Begin,
    Begun,
    ContentQuery,
    Done,
    Embedding,
    GivenUp,
    HandedIn,
    Hello,
    Known,
    LeaseAsked,
    Leases,
    Lost,
    Outcomes,
    Unreadable,
    Verdicts,
    Welcome,
)
from penstock.pipeline.desk import Finished
from penstock.pipeline.uploads import Uploads

encode = msgspec.json.Encoder().encode
results_decoder = msgspec.msgpack.Decoder(HandedIn)

MAX_RESULT_BYTES = 1024 * 1024 * 1024
RESULT_TIMEOUT_S = 300.0
RESULTS_AT_ONCE = 2
"""Results are large, and the index takes one after another."""
OK = Reply(body=encode(Done()))


class WorkRoutes:
    """What `pipeline/desk.py` and the embedded queue do, over HTTP."""

    def __init__(self, *, uploads: Uploads, settings: QueueSettings) -> None:
        self._uploads = uploads
        self._desk = uploads.desk
        self._settings = settings
        self._results = asyncio.Semaphore(RESULTS_AT_ONCE)

    def operations(self) -> list[Operation]:
        return [
            _post("hello", self.hello, Hello, Welcome, "Begin to work here."),
            _post("lease", self.lease, LeaseAsked, Leases, "Something to do.", ends_with_caller=True),
            _post("extend", self.extend, Leases, Done, "Keep messages."),
            _post("settle", self.settle, Verdicts, Done, "Be done with messages."),
            _post("begin", self.begin, Begin, Begun, "Begin jobs."),
            _post("beat", self.beat, Beat, Lost, "Keep jobs."),
            _post("embedding", self.embedding, Embedding, Known, "Files have been read."),
            _post("give_up", self.give_up, GivenUp, Outcomes, "Nothing came of these."),
            Operation(
                method="POST",
                path="/v1/work/hand_in",
                name="workHandIn",
                summary="What came of these.",
                handle=self.hand_in,
                form=HandedIn,
                answer=Outcomes,
                scope="worker",
                described=False,
            ),
            Operation(
                method="GET",
                path="/v1/work/content",
                name="workContent",
                summary="The bytes of a file that was begun.",
                handle=self.content,
                query=ContentQuery,
                media="application/octet-stream",
                scope="worker",
                described=False,
            ),
        ]

    async def hello(self, call: Call) -> Reply:
        asked: Hello = call.body
        for model, fingerprint in self._uploads.work.fingerprints().items():
            if model not in asked.encoders:
                raise Conflict(
                    f"The server has the encoder {model}, and this worker has {', '.join(asked.encoders)}. "
                    "Give it the server's [embed] settings."
                )
            if asked.encoders[model] != fingerprint:
                raise Conflict("This worker would split files in another way. Give it the server's [ingest] settings.")
        await self._desk.beat(asked.worker, [])
        return Reply(body=encode(Welcome(lease_s=self._desk.lease_s, backend=self._settings.backend)))

    async def lease(self, call: Call) -> Reply:
        self._embedded_only()
        asked: LeaseAsked = call.body
        leases = await self._uploads.queue.lease(asked.limit, wait_s=asked.wait_s)
        return Reply(body=encode(Leases(leases=leases)))

    async def extend(self, call: Call) -> Reply:
        self._embedded_only()
        leases: Sequence[Lease] = call.body.leases
        await self._uploads.queue.extend(leases)
        return OK

    async def settle(self, call: Call) -> Reply:
        self._embedded_only()
        await self._uploads.queue.settle(call.body.verdicts)
        return OK

    async def begin(self, call: Call) -> Reply:
        asked: Begin = call.body
        answers = await self._desk.begin(asked.tickets, worker=asked.worker, models=asked.models)
        sorted_out = Begun(
            assigned=[each for each in answers if isinstance(each, Assignment)],
            refused=[each for each in answers if isinstance(each, Refused)],
        )
        return Reply(body=encode(sorted_out))

    async def beat(self, call: Call) -> Reply:
        asked: Beat = call.body
        return Reply(body=encode(Lost(lost=sorted(await self._desk.beat(asked.worker, asked.leases)))))

    async def embedding(self, call: Call) -> Reply:
        known = await self._desk.embedding(call.body.read)
        return Reply(body=encode(Known(known={lease: sorted(names) for lease, names in known.items()})))

    async def give_up(self, call: Call) -> Reply:
        return Reply(body=encode(Outcomes(outcomes=await self._desk.give_up(call.body.unfinished))))

    async def content(self, call: Call) -> Reply:
        try:
            content = await self._desk.content_of(call.query.lease)
        except BadDocument as error:
            return Reply(body=encode(Unreadable(reason=error.reason, message=error.message)), status=422)
        return Reply(body=content, headers=((b"content-type", b"application/octet-stream"), NO_STORE))

    async def hand_in(self, call: Call) -> Reply:
        async with self._results:
            body = await _whole(call)
            try:
                results = await asyncio.to_thread(results_decoder.decode, body)
            except msgspec.MsgspecError as error:
                raise InvalidRequest(f"The results cannot be read: {error}.") from error
            if not all(_fits(each) for each in results.finished):
                raise InvalidRequest("There is not one hash for each chunk.", param="finished")
            rows = sum(each.rows for each in results.finished)
            if len(results.vectors) != 4 * rows * results.dimension:
                raise InvalidRequest("There is not one vector for each new chunk.", param="vectors")
            vectors = np.frombuffer(results.vectors, dtype="<f4").reshape(rows, results.dimension)
            outcomes = await self._desk.hand_in(results.finished, vectors)
        return Reply(body=encode(Outcomes(outcomes=outcomes)))

    def _embedded_only(self) -> None:
        if self._settings.backend != "sqlite":
            raise Conflict(
                f"Jobs are in {self._settings.backend} here. Set queue.backend and queue.url for the worker."
            )


def _fits(finished: Finished) -> bool:
    known = set(finished.known)
    its_own = len(known) == len(finished.known) and known <= set(range(len(finished.chunks)))
    return its_own and len(finished.embedded) == len(finished.chunks)


def _post(
    name: str, handle: Handle, body: type, answer: type, summary: str, *, ends_with_caller: bool = False
) -> Operation:
    return Operation(
        method="POST",
        path=f"/v1/work/{name}",
        name=f"work{name.title().replace('_', '')}",
        summary=summary,
        handle=handle,
        body=body,
        answer=answer,
        scope="worker",
        described=False,
        ends_with_caller=ends_with_caller,
    )


async def _whole(call: Call) -> bytearray:
    """The body, within its limits."""
    assert call.receive is not None, "operations with a form have it"
    body = bytearray()
    more = True
    try:
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            while more:
                message = await call.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_RESULT_BYTES:
                    raise TooLarge(f"The results are over {MAX_RESULT_BYTES} bytes.")
    except TimeoutError as error:
        raise SlowBody("The results did not arrive in time.") from error
    return body
