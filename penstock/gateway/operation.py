"""One row per thing that can be asked: routes, description and checks are all made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from starlette.types import Receive, Scope

from penstock.core.context import Context
from penstock.gateway.doors import DoorName
from penstock.gateway.reply import Events, Reply
from penstock.gateway.visit import Visit


class Call(msgspec.Struct, frozen=True):
    """A request as a route sees it: who and until when, and its parts, read and checked."""

    ctx: Context
    scope: Scope
    body: Any = None
    query: Any = None
    receive: Receive | None = None
    """The body as it arrives, for operations with a `form`."""
    visit: Visit = msgspec.field(default_factory=Visit)

    def path(self, name: str) -> str:
        """A piece of the path, decoded."""
        return str(self.scope["path_params"][name])


KeyScope = Literal["read", "write", "admin", "worker"]
Handle = Callable[[Call], Awaitable[Reply | Events]]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """`body`, `query` and `answer` are wire structs; `events` is what a stream sends, one struct or a union of them.

    `media` is for answers that are not JSON. `form` describes a multipart body, which the route reads itself from
    `Call.receive`. `scope` is what a key must have; None: anybody may ask. `of_server` operations concern all tenants:
    only keys of the server's owner, the tenant `default`, may ask. `ends_with_caller` operations are cancelled when
    the caller leaves; only those can wait at a `door`.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    name: str
    summary: str
    handle: Handle
    body: type | None = None
    query: type | None = None
    answer: type | None = None
    events: Any = None
    media: str = "application/json"
    ends_with_caller: bool = False
    door: DoorName | None = None
    described: bool = True
    form: type | None = None
    otherwise: tuple[tuple[int, type], ...] = ()
    """Other statuses whose answer is not an error."""
    scope: KeyScope | None = "read"
    of_server: bool = False

    @property
    def described_path(self) -> str:
        """The path without what only the router reads."""
        return self.path.replace(":path}", "}")
