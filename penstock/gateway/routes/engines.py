"""`/engines`: how language models stand, and their servers taken out of use and back. `/usage`: who used what.

Which servers there are is said by the settings alone, never by a request, so that no caller can point us, and our API
keys, at an address of his own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from typing import Protocol

import msgspec

from penstock.catalog.usage import Used
from penstock.core.errors import InvalidRequest
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.wire.engines import EngineList, EngineShown, ReplicaAsked, UsageAsked, UsageList, UsageShown
from penstock.generate.states import EngineState

encode = msgspec.json.Encoder().encode


class Engines(Protocol):
    """All language models."""

    def states(self) -> Sequence[EngineState]: ...
    def drain(self, model: str, replica: str) -> None: ...
    def resume(self, model: str, replica: str) -> None: ...


class Usage(Protocol):
    """What was used of them."""

    async def used(self, *, since: str, tenant: str | None) -> Sequence[Used]: ...


class EngineRoutes:
    """The engines serve all tenants, so only the server's owner, the tenant `default`, may change how they stand."""

    def __init__(self, *, engines: Engines, usage: Usage) -> None:
        self._engines = engines
        self._usage = usage

    def operations(self) -> list[Operation]:
        changes = (("drain", self.drain, "Give a server of an engine nothing new; what runs there runs on."),
                   ("resume", self.resume, "Let a drained server take requests again."))  # fmt: skip
        return [
            Operation(
                method="GET",
                path="/engines",
                name="listEngines",
                summary="How the language models and their servers stand.",
                handle=self.list,
                answer=EngineList,
                scope="admin",
                of_server=True,
            ),
            *(
                Operation(
                    method="POST",
                    path=f"/engines/{verb}",
                    name=f"{verb}Replica",
                    summary=summary,
                    handle=handle,
                    body=ReplicaAsked,
                    answer=EngineList,
                    scope="admin",
                    of_server=True,
                )
                for verb, handle, summary in changes
            ),
            Operation(
                method="GET",
                path="/usage",
                name="listUsage",
                summary="Tokens and price by model: the caller's tenant, for the server's owner every tenant.",
                handle=self.usage,
                query=UsageAsked,
                answer=UsageList,
                scope="admin",
            ),
        ]

    async def list(self, _call: Call) -> Reply:
        return self._shown()

    async def drain(self, call: Call) -> Reply:
        self._engines.drain(call.body.model, call.body.replica)
        return self._shown()

    async def resume(self, call: Call) -> Reply:
        self._engines.resume(call.body.model, call.body.replica)
        return self._shown()

    async def usage(self, call: Call) -> Reply:
        principal = call.ctx.principal
        since = call.query.since or time.strftime("%Y-%m-01", time.gmtime())
        try:
            date.fromisoformat(since)
        except ValueError as error:
            raise InvalidRequest("'since' is no day. Write it like 2026-11-26.", param="since") from error
        tenant = None if principal.owns_server else principal.tenant
        data = [_shown_usage(used) for used in await self._usage.used(since=since, tenant=tenant)]
        return Reply(body=encode(UsageList(data=data, since=since)))

    def _shown(self) -> Reply:
        return Reply(body=encode(EngineList(data=[msgspec.convert(one, EngineShown, from_attributes=True)
                                                  for one in self._engines.states()])))  # fmt: skip


def _shown_usage(used: Used) -> UsageShown:
    return UsageShown(
        tenant=used.tenant,
        model=used.model,
        requests=used.requests,
        broken=used.broken,
        prompt_tokens=used.prompt,
        cached_tokens=used.cached,
        output_tokens=used.output,
        price=used.price,
        mean_first_token_ms=1000 * used.first_token_s / max(1, used.spoken),
        tokens_per_s=used.output / used.speaking_s if used.speaking_s > 0 else 0.0,
    )
