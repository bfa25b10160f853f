"""An operation as an ASGI application: read, check, run while the caller is there, answer."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from penstock.config import ServerSettings
from penstock.core.context import MONOTONIC, Context
from penstock.core.errors import Forbidden, InvalidRequest, Unauthenticated, UnsupportedParameter
from penstock.core.types import Principal
from penstock.gateway.auth import Authenticator
from penstock.gateway.deadlines import Deadlines
from penstock.gateway.doors import Doors
from penstock.gateway.operation import Call, Operation
from penstock.gateway.presence import Presence
from penstock.gateway.quotas import Bill, Quotas
from penstock.gateway.receive import converted, decoded, json_body_at_hand, json_body_to_come
from penstock.gateway.reply import Events, Reply
from penstock.gateway.streams import Streams
from penstock.gateway.visit import Visit

ANYBODY = Principal(tenant="", scopes=())
TIMEOUT_HEADER = b"x-request-timeout"
STREAM_LEASE_S = 5.0
"""A stream ends with its deadline; if this process dies, others count it out so long after that."""


class Endpoint:
    """Serves one operation."""

    def __init__(
        self,
        *,
        operation: Operation,
        authenticator: Authenticator,
        settings: ServerSettings,
        doors: Doors,
        quotas: Quotas,
        streams: Streams,
        deadlines: Deadlines,
    ) -> None:
        self.operation = operation
        self._authenticator = authenticator
        self._settings = settings
        self._streams = streams
        self._deadlines = deadlines
        self._door = doors.named(operation.door)
        self._lists = _lists_of(operation.query)
        self._quotas = quotas if operation.path.startswith("/v1/") else None
        self._decoder: msgspec.json.Decoder[Any] | None = (
            msgspec.json.Decoder(operation.body) if operation.body else None
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        principal = self._principal(scope)
        if self._quotas is None or not self._quotas.limits(principal):
            return self._admitted(principal, scope, receive, send, None, Visit())
        return self._charged(principal, scope, receive, send, self._quotas)

    async def _charged(self, principal: Principal, scope: Scope, receive: Receive, send: Send, quotas: Quotas) -> None:
        bill = await quotas.enter(principal, scope, self.operation)
        visit = Visit()
        try:
            await self._admitted(principal, scope, receive, send, bill, visit)
        finally:
            if bill is not None:
                await bill.settle(visit.tokens)

    async def _admitted(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send, bill: Bill | None, visit: Visit
    ) -> None:
        if self._door is not None and not self._door.has_room(principal.priority):
            # Whoever would be refused costs no more than his head: his body is neither awaited nor read.
            self._door.check(principal.tenant, principal.priority, deadline_s=self._deadline_s(scope))
        query = self._query(scope["query_string"])
        body: Any = None
        if self._decoder is not None:
            most_bytes = self._settings.max_body_bytes
            raw = json_body_at_hand(scope, max_bytes=most_bytes)
            if raw is None:
                raw = await json_body_to_come(receive, max_bytes=most_bytes, timeout_s=self._settings.body_timeout_s)
            body = decoded(self._decoder, raw)
        timeout_s = self._timeout_s(scope, body)
        ctx = Context(
            principal=principal,
            deadline_s=MONOTONIC.now_s() + timeout_s,
            request_id=scope["request_id"],
            priority=principal.priority,
        )
        call = Call(ctx, scope, body, query, receive if self.operation.form else None, visit)
        if not self.operation.ends_with_caller:
            reply = await self.operation.handle(call)
            assert isinstance(reply, Reply), "what streams ends with its caller"
            await reply.send(send)
            return
        with Presence(scope=scope, receive=receive, timeout_s=timeout_s, deadlines=self._deadlines) as presence:
            if self._door is None:
                await self._serve(call, send, presence, bill)
                return
            permit = visit.permit = self._door.admit(ctx)
            if not permit.comes_in():
                await permit.wait()
            with permit:
                await self._serve(call, send, presence, bill)

    async def _serve(self, call: Call, send: Send, presence: Presence, bill: Bill | None) -> None:
        reply = await self.operation.handle(call)
        if isinstance(reply, Reply):
            await reply.send(send)
            return
        if bill is not None:
            await self._count_stream(bill, reply, call.ctx)
        await self._streams.send(reply, send, presence=presence, request_id=call.ctx.request_id)

    async def _count_stream(self, bill: Bill, reply: Events, ctx: Context) -> None:
        try:
            await bill.open_stream(ctx.request_id, lease_s=ctx.remaining_s() + STREAM_LEASE_S)
        except BaseException:
            await reply.chunks.aclose()
            raise

    def _principal(self, scope: Scope) -> Principal:
        needed = self.operation.scope
        try:
            principal = self._authenticator.authenticate(scope)
        except Unauthenticated:
            if needed is None:
                return ANYBODY
            raise
        if needed is not None and needed not in principal.scopes:
            raise Forbidden(f"This key does not have the scope '{needed}'.")
        if self.operation.of_server and not principal.owns_server:
            raise Forbidden("This concerns all tenants. Use an admin key of the tenant 'default'.")
        return principal

    def _query(self, query_string: bytes) -> Any:
        if not query_string and self.operation.query is None:
            return None
        values: dict[str, Any] = {}
        for written, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
            name = written.removesuffix("[]")
            if name in self._lists:
                values.setdefault(name, []).append(value)
            elif written in values:
                raise InvalidRequest(f"'{written}' is given twice.", param=written)
            else:
                values[written] = value
        if self.operation.query is None:
            raise UnsupportedParameter(next(iter(values), "?"))
        return converted(values, self.operation.query)

    def _deadline_s(self, scope: Scope) -> float:
        return MONOTONIC.now_s() + self._timeout_s(scope, None)

    def _timeout_s(self, scope: Scope, body: Any) -> float:
        asked_s: float | None = getattr(body, "timeout", None)
        for name, value in scope["headers"]:
            if name == TIMEOUT_HEADER:
                header_s = _seconds(value)
                asked_s = header_s if asked_s is None else min(asked_s, header_s)
        if asked_s is None:
            return self._settings.request_timeout_s
        return min(asked_s, self._settings.max_timeout_s)


def _lists_of(query: type | None) -> frozenset[str]:
    """Parameters that may be given several times; clients write `name=a&name=b` or `name[]=a&name[]=b`."""
    if query is None:
        return frozenset()
    hints = get_type_hints(query)
    return frozenset(name for name, hint in hints.items() if any(get_origin(part) is list for part in get_args(hint)))


def _seconds(value: bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidRequest("The header 'X-Request-Timeout' takes seconds, above zero.", param="X-Request-Timeout")
    return seconds
