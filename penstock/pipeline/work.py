"""The worker's side of the work on uploaded files: lease a group, read, split and embed it, hand in what came of it.

The same in the server and in processes beside it: `Desk` is the server, at hand or over HTTP. No message is settled
before the server has said what became of its job, so whatever dies on the way is done by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
import numpy as np

from penstock.catalog.jobs import Assignment, Refused, Ticket
from penstock.core.context import start_context
from penstock.core.errors import PenstockError, StageUnavailable
from penstock.core.messages import Lease, Verdict
from penstock.core.types import Principal, Vectors
from penstock.embed.encoders import Encoders
from penstock.pipeline.desk import OURS, Finished, Outcome, Read, Unfinished
from penstock.pipeline.preparing import Prepared, Preparing, SizedReader, unfinished

log = logging.getLogger("penstock.work")

GROUP_FILES = 64
"""Messages leased together."""
GROUP_CHUNKS = 256
"""Passages embedded together."""
PATIENCE_S = 1.0
"""Files that have been read wait for so long for more of their group: one that is slow to read delays no other."""
GROUP_TIMEOUT_S = 3600.0
HAND_IN_AGAIN_S = 60.0
"""How long results are kept for a server that does not answer."""
NOBODY = Principal(tenant="", scopes=())
"""A group has files of several tenants and is nobody's."""


class Server(Protocol):
    """What a worker needs of the server: pipeline/desk.py, or the same over HTTP. Raises StageUnavailable."""

    lease_s: float

    async def begin(
        self, tickets: Sequence[Ticket], *, worker: str, models: Sequence[str]
    ) -> list[Assignment | Refused]: ...

    async def content(self, assignment: Assignment) -> bytes: ...

    async def beat(self, worker: str, leases: Sequence[str]) -> set[str]: ...

    async def embedding(self, read: Sequence[Read]) -> dict[str, set[str]]: ...

    async def give_up(self, unfinished: Sequence[Unfinished]) -> list[Outcome]: ...

    async def hand_in(self, finished: Sequence[Finished], vectors: Vectors) -> list[Outcome]: ...


class Leases(Protocol):
    """The part of core.ports.Queue that a worker needs. Raises StageUnavailable."""

    async def lease(self, limit: int, *, wait_s: float) -> list[Lease]: ...

    async def extend(self, leases: Sequence[Lease]) -> None: ...

    async def settle(self, verdicts: Sequence[Verdict]) -> None: ...


class Group:
    """Leased messages under way: which job each one is, and whose still hold."""

    def __init__(self, leases: Sequence[Lease]) -> None:
        self.open: dict[str, Lease] = {lease.message.id: lease for lease in leases}
        self.jobs: dict[str, str] = {}
        """Message ids by the leases of their jobs."""
        self.lost: set[str] = set()
        self.preparing: dict[str, asyncio.Task[Prepared | Unfinished | None]] = {}

    def take_on(self, answers: Sequence[Assignment | Refused]) -> list[Assignment]:
        """Those of the jobs that are ours to do."""
        assigned = [answer for answer in answers if isinstance(answer, Assignment)]
        self.jobs.update({each.lease: each.job_id for each in assigned})
        return assigned

    def lose(self, leases: set[str]) -> None:
        """Other's, or nobody's any more: no more is done for them."""
        self.lost |= leases
        for lease in leases & self.preparing.keys():
            self.preparing[lease].cancel()

    def leases_of_jobs(self) -> list[str]:
        return [lease for lease, message_id in self.jobs.items() if message_id in self.open]


class Work:
    """Does one group whenever `step` is called; several steps may run at once."""

    def __init__(
        self,
        *,
        name: str,
        server: Server,
        queue: Leases,
        encoders: Encoders,
        make_reader: Callable[[str], SizedReader],
        parallel_parses: int = 4,
    ) -> None:
        self.name = name
        self._server = server
        self._queue = queue
        self._encoders = encoders
        self._preparing = Preparing(content=server.content, make_reader=make_reader, at_once=parallel_parses)

    def fingerprints(self) -> dict[str, str]:
        """How files are read and split here, for each encoder."""
        return self._preparing.fingerprints(self._encoders.models)

    async def stop(self) -> None:
        """After the last step has ended."""
        await self._preparing.stop()

    async def step(self, *, wait_s: float = 0.0) -> bool:
        """Do one group; False when there is none within `wait_s`. Cancelling it gives back what is not done."""
        group = Group(await self._queue.lease(GROUP_FILES, wait_s=wait_s))
        try:
            _heed_cancellation()
            if not group.open:
                await self._server.beat(self.name, [])
                return False
            async with self._kept_alive(group):
                await self._do(group)
                # What was taken from us on the way: whoever gets the message next is told what became of it.
                await self._settle(group, [_again(lease) for lease in group.open.values()])
        except BaseException as error:
            await asyncio.shield(self._give_back(group, error))
            raise
        return True

    # --- one group ------------------------------------------------------------------------

    async def _do(self, group: Group) -> None:
        alone = await self._begin(group, await self._tickets(group))
        for ticket in alone:
            await self._begin(group, [ticket])

    async def _tickets(self, group: Group) -> list[Ticket]:
        tickets, buried = [], []
        for lease in list(group.open.values()):
            try:
                tickets.append(msgspec.json.decode(lease.message.body, type=Ticket))
            except msgspec.DecodeError as error:
                buried.append(Verdict(lease=lease, kind="bury", reason=f"The message cannot be read: {error}"))
        await self._settle(group, buried)
        return tickets

    async def _begin(self, group: Group, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Do those of the jobs that are to be done; returns those that must be begun alone."""
        if not tickets:
            return []
        models = self._encoders.models
        beginning = asyncio.ensure_future(self._server.begin(tickets, worker=self.name, models=models))
        try:
            answers = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            # The server may have assigned them already: only what we know of can be given back.
            with contextlib.suppress(PenstockError):
                group.take_on(await beginning)
            raise
        assigned = group.take_on(answers)
        refused = {answer.job_id: answer for answer in answers if isinstance(answer, Refused)}
        await self._settle(
            group,
            [_verdict(group.open[answer.job_id], answer) for answer in refused.values() if answer.kind != "alone"],
        )
        if assigned:
            await self._work_on(group, assigned)
        return [ticket for ticket in tickets if ticket.job_id in refused and refused[ticket.job_id].kind == "alone"]

    async def _work_on(self, group: Group, assigned: Sequence[Assignment]) -> None:
        tasks = [asyncio.create_task(self._preparing.prepare(each), name="work:prepare") for each in assigned]
        group.preparing.update(zip((each.lease for each in assigned), tasks, strict=True))
        waiting: list[Prepared] = []
        unread = set(tasks)
        try:
            while unread:
                patience_s = PATIENCE_S if waiting else None
                read, unread = await asyncio.wait(unread, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                results = [task.result() for task in read if not task.cancelled()]
                await self._report(group, [each for each in results if isinstance(each, Unfinished)])
                waiting += [
                    each for each in results if isinstance(each, Prepared) and each.finished.lease not in group.lost
                ]
                if sum(len(each.texts) for each in waiting) >= GROUP_CHUNKS or (waiting and not (unread and read)):
                    for model in self._encoders.models:
                        await self._embed(group, model, [each for each in waiting if each.assignment.embedder == model])
                    waiting = []
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _embed(self, group: Group, model: str, prepared: Sequence[Prepared]) -> None:
        """Only what the stores do not have; those vectors stay where they are."""
        if not prepared:
            return
        ctx = start_context(principal=NOBODY, timeout_s=GROUP_TIMEOUT_S, priority="ingestion")
        try:
            known = await self._server.embedding(
                [Read(each.finished.lease, each.finished.embedded) for each in prepared]
            )
            new = [_without(each, known.get(each.finished.lease, set())) for each in prepared]
            texts = [text for each in new for text in each.texts]
            vectors = await self._encoders.named(model).embed(texts, ctx, kind="passage")
        except Exception as error:  # noqa: BLE001 - whose fault it was shows when each is tried alone
            await self._report(group, [unfinished(each.assignment, error) for each in prepared])
            return
        finished = [each.finished for each in new]
        await self._settle_as(group, await self._hand_in(finished, np.asarray(vectors, dtype=np.float32)))

    async def _hand_in(self, finished: Sequence[Finished], vectors: Vectors) -> list[Outcome]:
        """A server that restarts is waited for: its lease on these outlives it."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + HAND_IN_AGAIN_S
        while True:
            try:
                return await self._server.hand_in(finished, vectors)
            except StageUnavailable:
                if loop.time() > until_s:
                    raise
                await asyncio.sleep(0.5)

    async def _report(self, group: Group, unfinished: Sequence[Unfinished]) -> None:
        if unfinished:
            await self._settle_as(group, await self._server.give_up(unfinished))

    async def _settle_as(self, group: Group, outcomes: Sequence[Outcome]) -> None:
        """Settle each message as the server says of its job."""
        known = [each for each in outcomes if group.jobs.get(each.lease) in group.open]
        await self._settle(group, [_settled(group.open[group.jobs[each.lease]], each) for each in known])

    async def _settle(self, group: Group, verdicts: Sequence[Verdict]) -> None:
        if not verdicts:
            return
        for verdict in verdicts:
            group.open.pop(verdict.lease.message.id, None)
        try:
            await self._queue.settle(verdicts)
        except StageUnavailable as error:
            # The jobs are done in the catalog; their messages come again, and are found to be done.
            log.warning("%d messages could not be settled: %s", len(verdicts), error.message)

    async def _give_back(self, group: Group, why: BaseException) -> None:
        """We stop, or the server is away: what is not done is another's at once. After an error of ours it is counted.

        The messages are given back also where the jobs cannot be: some brokers keep them for us as long as we are
        connected.
        """
        leases = group.leases_of_jobs()
        ours = f"{OURS} ({type(why).__name__})" if _is_ours(why) else ""
        stopped = [Unfinished(lease=lease, error=ours, counted=bool(ours)) for lease in leases]
        after_s = 0.0
        try:
            async with asyncio.timeout(self._server.lease_s / 4):
                if stopped:
                    await self._server.give_up(stopped)
        except (PenstockError, TimeoutError) as error:
            log.warning("%d jobs wait until their leases run out: %s", len(leases), error or type(error).__name__)
            after_s = 1.0
        verdicts = [Verdict(lease=lease, kind="retry", after_s=after_s) for lease in group.open.values()]
        try:
            async with asyncio.timeout(self._server.lease_s / 4):
                await self._settle(group, verdicts)
        except TimeoutError:
            log.warning("%d messages wait until their leases run out", len(verdicts))

    # --- staying alive ----------------------------------------------------------------------

    @asynccontextmanager
    async def _kept_alive(self, group: Group) -> AsyncIterator[None]:
        beating = asyncio.create_task(self._beat(group), name="work:beat")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, group: Group) -> None:
        while True:
            await asyncio.sleep(self._server.lease_s / 4)
            try:
                async with asyncio.timeout(self._server.lease_s / 4):
                    await self._queue.extend(list(group.open.values()))
                    group.lose(await self._server.beat(self.name, group.leases_of_jobs()))
            except (PenstockError, TimeoutError) as error:
                log.warning("no heartbeat got through: %s", error or type(error).__name__)


def _is_ours(why: BaseException) -> bool:
    return isinstance(why, Exception) and not isinstance(why, PenstockError)


def _heed_cancellation() -> None:
    """Brokers' clients lose a cancellation that comes together with a message, as `asyncio.wait_for` of 3.11 does."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _without(prepared: Prepared, known: set[str]) -> Prepared:
    """The file without the texts whose vectors the store has."""
    finished = msgspec.structs.replace(
        prepared.finished, known=tuple(place for place, name in enumerate(prepared.finished.embedded) if name in known)
    )
    texts = [text for text, name in zip(prepared.texts, finished.embedded, strict=True) if name not in known]
    return Prepared(prepared.assignment, finished, texts)


def _verdict(lease: Lease, refused: Refused) -> Verdict:
    if refused.kind == "gone":
        return Verdict(lease=lease)
    if refused.kind == "dead":
        return Verdict(lease=lease, kind="bury", reason=refused.reason)
    return Verdict(lease=lease, kind="retry", after_s=refused.after_s)


def _settled(lease: Lease, outcome: Outcome) -> Verdict:
    if outcome.kind == "done":
        return Verdict(lease=lease)
    if outcome.kind == "dead":
        return Verdict(lease=lease, kind="bury", reason=outcome.error)
    return Verdict(lease=lease, kind="retry", after_s=outcome.after_s) if outcome.kind == "waits" else _again(lease)


def _again(lease: Lease) -> Verdict:
    return Verdict(lease=lease, kind="retry", after_s=1.0)
