"""`/engines`: how language models stand, and their servers taken out of use and back. `/usage`: who used what.

Which servers there are is said by the settings alone, never by a request, so that no caller can point us, and our API
keys, at an address of his own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.wire.engines import EngineList, EngineShown, ReplicaAsked, UsageList, UsageShown
from penstock.generate.account import Totals
from penstock.generate.states import EngineState

encode = msgspec.json.Encoder().encode


class Engines(Protocol):
    """All language models."""

    def states(self) -> Sequence[EngineState]: ...
    def drain(self, model: str, replica: str) -> None: ...
    def resume(self, model: str, replica: str) -> None: ...
    def used(self) -> Sequence[tuple[str, str, Totals]]:
        """Tenant, model, and the sums of both."""
        ...


class EngineRoutes:
    """The engines serve all tenants, so only the server's owner, the tenant `default`, may change how they stand."""

    def __init__(self, *, engines: Engines) -> None:
        self._engines = engines
        self._since = int(time.time())

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
        data = [
            _usage(tenant, model, totals)
            for tenant, model, totals in sorted(self._engines.used(), key=lambda row: row[:2])
            if tenant == principal.tenant or principal.owns_server
        ]
        return Reply(body=encode(UsageList(data=data, since=self._since)))

    def _shown(self) -> Reply:
        return Reply(body=encode(EngineList(data=[msgspec.convert(one, EngineShown, from_attributes=True)
                                                  for one in self._engines.states()])))  # fmt: skip


def _usage(tenant: str, model: str, totals: Totals) -> UsageShown:
    return UsageShown(
        tenant=tenant,
        model=model,
        requests=totals.requests,
        broken=totals.broken,
        prompt_tokens=totals.prompt,
        cached_tokens=totals.cached,
        output_tokens=totals.output,
        price=totals.price,
        mean_first_token_ms=1000 * totals.first_token_s / max(1, totals.spoken),
        tokens_per_s=totals.output / totals.speaking_s if totals.speaking_s > 0 else 0.0,
    )
