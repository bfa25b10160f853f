"""The server as a worker beside it sees it: `pipeline/desk.py` and the embedded queue, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_args

import aiohttp
import msgspec
import numpy as np

from penstock.catalog.jobs import Assignment, Refused, Ticket
from penstock.core.errors import BadDocument, Forbidden, InvalidRequest, NotFound, StageUnavailable, Unauthenticated
from penstock.core.messages import Lease, Verdict
from penstock.core.types import FailureReason, Vectors
from penstock.gateway.wire.base import ErrorResponse
from penstock.gateway.wire.work import (
    MEDIA,
    Beat,
    Begin,
    Begun,
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
from penstock.pipeline.desk import Finished, Outcome, Read, Unfinished

T = TypeVar("T")

ANSWER_S = 30.0
LARGE_S = 600.0
"""For what is large: a file's bytes, and results."""
CONNECT_S = 3.0
HASHES_AT_ONCE = 4_096


class RemoteServer:
    """Implements pipeline.work.Server and, for a server without a broker, pipeline.work.Leases."""

    def __init__(self, *, url: str, key: str = "") -> None:
        self._url = f"{url.rstrip('/')}/v1/work"
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None
        self.lease_s = 30.0

    async def hello(self, *, worker: str, encoders: dict[str, str]) -> Welcome:
        """Once before all else. Raises InvalidRequest for a worker that does not fit, Unauthenticated, Forbidden."""
        welcome = await self._post("hello", Hello(worker=worker, encoders=encoders), Welcome)
        self.lease_s = welcome.lease_s
        return welcome

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- the queue ---

    async def lease(self, limit: int, *, wait_s: float) -> list[Lease]:
        answer = await self._post("lease", LeaseAsked(limit=limit, wait_s=wait_s), Leases, timeout_s=wait_s + ANSWER_S)
        return answer.leases

    async def extend(self, leases: Sequence[Lease]) -> None:
        await self._post("extend", Leases(leases=list(leases)), Done)

    async def settle(self, verdicts: Sequence[Verdict]) -> None:
        await self._post("settle", Verdicts(verdicts=list(verdicts)), Done)

    # --- the desk ---

    async def begin(
        self, tickets: Sequence[Ticket], *, worker: str, models: Sequence[str]
    ) -> list[Assignment | Refused]:
        begun = await self._post("begin", Begin(worker=worker, models=list(models), tickets=list(tickets)), Begun)
        return [*begun.assigned, *begun.refused]

    async def content(self, assignment: Assignment) -> bytes:
        status, body = await self._request("GET", f"content?lease={assignment.lease}", timeout_s=LARGE_S)
        if status == 422:
            unreadable = msgspec.json.decode(body, type=Unreadable)
            reason = unreadable.reason if unreadable.reason in get_args(FailureReason) else "unreadable"
            raise BadDocument(reason, unreadable.message)  # type: ignore[arg-type]
        _check(status, body)
        return body

    async def beat(self, worker: str, leases: Sequence[str]) -> set[str]:
        return set((await self._post("beat", Beat(worker=worker, leases=list(leases)), Lost)).lost)

    async def embedding(self, read: Sequence[Read]) -> dict[str, set[str]]:
        known: dict[str, set[str]] = {}
        for part in _parts(read):
            answer = await self._post("embedding", Embedding(read=part), Known, timeout_s=LARGE_S)
            for lease, names in answer.known.items():
                known.setdefault(lease, set()).update(names)
        return known

    async def give_up(self, unfinished: Sequence[Unfinished]) -> list[Outcome]:
        return (await self._post("give_up", GivenUp(unfinished=list(unfinished)), Outcomes)).outcomes

    async def hand_in(self, finished: Sequence[Finished], vectors: Vectors) -> list[Outcome]:
        def encoded() -> bytes:
            rows = np.ascontiguousarray(vectors, dtype="<f4").tobytes()
            return msgspec.msgpack.encode(
                HandedIn(finished=list(finished), dimension=int(vectors.shape[1]), vectors=rows)
            )

        body = await asyncio.to_thread(encoded)
        status, answer = await self._request("POST", "hand_in", body=body, media=MEDIA, timeout_s=LARGE_S)
        _check(status, answer)
        return msgspec.json.decode(answer, type=Outcomes).outcomes

    # --- asking ---

    async def _post(self, path: str, body: Any, answer: type[T], *, timeout_s: float = ANSWER_S) -> T:
        status, content = await self._request("POST", path, body=msgspec.json.encode(body), timeout_s=timeout_s)
        _check(status, content)
        return msgspec.json.decode(content, type=answer)

    async def _request(
        self, method: str, path: str, *, body: bytes | None = None, media: str = "application/json", timeout_s: float
    ) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        try:
            async with self._session.request(
                method, f"{self._url}/{path}", data=body, headers={"content-type": media}, timeout=timeout
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StageUnavailable("server", f"{self._url}: {error or type(error).__name__}") from error


def _parts(read: Sequence[Read]) -> Iterator[list[Read]]:
    """What may be asked of the server at once: a book has more passages than a body may have bytes for."""
    part: list[Read] = []
    size = 0
    for each in read:
        for start in range(0, max(1, len(each.embedded)), HASHES_AT_ONCE):
            names = each.embedded[start : start + HASHES_AT_ONCE]
            if size + len(names) > HASHES_AT_ONCE:
                yield part
                part, size = [], 0
            part.append(Read(each.lease, names))
            size += len(names)
    yield part


def _check(status: int, body: bytes) -> None:
    if status < 400:
        return
    try:
        message = msgspec.json.decode(body, type=ErrorResponse).error.message
    except msgspec.MsgspecError:
        message = f"The server answered with status {status}."
    if status == 401:
        raise Unauthenticated(message)
    if status == 403:
        raise Forbidden(message)
    if status == 404:
        raise NotFound("job", "")
    if status >= 500 or status in (408, 429):
        raise StageUnavailable("server", message)
    raise InvalidRequest(message)
