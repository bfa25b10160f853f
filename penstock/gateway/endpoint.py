"""An operation as an ASGI application: read, check, run while the caller is there, answer."""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from penstock.config import ServerSettings
from penstock.core.context import MONOTONIC, Context
from penstock.core.errors import Forbidden, InvalidRequest, Unauthenticated, UnsupportedParameter
from penstock.core.types import Principal
from penstock.gateway.auth import Authenticator
from penstock.gateway.doors import Doors
from penstock.gateway.operation import Call, Operation
from penstock.gateway.presence import Presence
from penstock.gateway.receive import converted, decoded, read_json_body
from penstock.gateway.reply import Reply
from penstock.gateway.stream import stream

ANYBODY = Principal(tenant="", scopes=())
TIMEOUT_HEADER = b"x-request-timeout"


class Endpoint:
    """Serves one operation."""

    def __init__(
        self, *, operation: Operation, authenticator: Authenticator, settings: ServerSettings, doors: Doors
    ) -> None:
        self._operation = operation
        self._authenticator = authenticator
        self._settings = settings
        self._door = doors.named(operation.door)
        self._lists = _lists_of(operation.query)
        self._decoder: msgspec.json.Decoder[Any] | None = (
            msgspec.json.Decoder(operation.body) if operation.body else None
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = self._principal(scope)
        query = self._query(scope["query_string"])
        body: Any = None
        if self._decoder is not None:
            raw = await read_json_body(
                scope, receive, max_bytes=self._settings.max_body_bytes, timeout_s=self._settings.body_timeout_s
            )
            body = decoded(self._decoder, raw)
        timeout_s = self._timeout_s(scope, body)
        ctx = Context(principal=principal, deadline_s=MONOTONIC.now_s() + timeout_s, request_id=scope["request_id"])
        call = Call(ctx, scope, body, query, receive if self._operation.form else None)
        if not self._operation.ends_with_caller:
            reply = await self._operation.handle(call)
            assert isinstance(reply, Reply), "what streams ends with its caller"
            await reply.send(send)
            return
        with Presence(receive=receive, timeout_s=timeout_s) as presence:
            if self._door is None:
                await self._serve(call, send, presence)
            else:
                async with self._door.admit(ctx):
                    await self._serve(call, send, presence)

    async def _serve(self, call: Call, send: Send, presence: Presence) -> None:
        reply = await self._operation.handle(call)
        if isinstance(reply, Reply):
            await reply.send(send)
        else:
            await stream(reply, send, presence=presence, request_id=call.ctx.request_id)

    def _principal(self, scope: Scope) -> Principal:
        needed = self._operation.scope
        try:
            principal = self._authenticator.authenticate(scope)
        except Unauthenticated:
            if needed is None:
                return ANYBODY
            raise
        if needed is not None and needed not in principal.scopes:
            raise Forbidden(f"This key does not have the scope '{needed}'.")
        return principal

    def _query(self, query_string: bytes) -> Any:
        if not query_string and self._operation.query is None:
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
        if self._operation.query is None:
            raise UnsupportedParameter(next(iter(values), "?"))
        return converted(values, self._operation.query)

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
