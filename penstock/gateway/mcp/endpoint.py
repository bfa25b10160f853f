"""The protocol as one of our operations: keys, quotas, deadlines and departures are those of every route."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.types import Message, Receive, Scope

from penstock.core.errors import Forbidden, PenstockError
from penstock.gateway.mcp.resources import Resources
from penstock.gateway.mcp.tools import CALL, Tools
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server


class NotInstalled(PenstockError):
    """The extra is missing."""

    status = 501
    code = "not_installed"
    type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__("This server has no MCP. Its operator can add it: pip install 'penstock[mcp]'.")


class Mcp:
    """Streamable HTTP without sessions: a POST, and its answer as JSON."""

    def __init__(self, *, tools: Tools, resources: Resources) -> None:
        self._tools = tools
        self._resources = resources
        self._server: Server[Any] | None = None
        self._is_installed = importlib.util.find_spec("mcp") is not None
        self._loading = asyncio.Lock()

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="POST",
                path="/mcp",
                name="mcp",
                summary="Tools and resources over the Model Context Protocol.",
                handle=self.handle,
                body=msgspec.Raw,
                ends_with_caller=True,
                described=False,
            )
        ]

    async def handle(self, call: Call) -> Reply:
        if not self._is_installed:
            raise NotInstalled
        require_own_origin(call.scope)
        server = await self._loaded()
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415 - loaded above

        body: msgspec.Raw = call.body
        answer = _Answer()
        # One manager a request: what it starts ends with the request, whoever ends it.
        manager = StreamableHTTPSessionManager(app=server, json_response=True, stateless=True)
        scope = {**call.scope, CALL: call}
        async with manager.run():
            await manager.handle_request(scope, _once(bytes(body)), answer.send)
        return answer.reply()

    async def _loaded(self) -> Server[Any]:
        async with self._loading:
            if self._server is None:
                # The SDK takes a second or two to import: not at the start of servers that nobody asks for MCP.
                self._server = await asyncio.to_thread(self._load)
        return self._server

    def _load(self) -> Server[Any]:
        from penstock.gateway.mcp.server import make_server  # noqa: PLC0415 - see above

        return make_server(tools=self._tools, resources=self._resources)


def require_own_origin(scope: Scope) -> None:
    """Raise Forbidden for a browser's page from elsewhere, whatever key it may have got hold of."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"")
    if origin and origin.partition(b"://")[2] != headers.get(b"host"):
        raise Forbidden("This page's origin may not call this server.")


def _once(body: bytes) -> Receive:
    """The request's body, and then silence: Presence watches the connection."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # until it is cancelled

    return receive


class _Answer:
    """What the SDK sends, collected."""

    def __init__(self) -> None:
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(name, value) for name, value in message["headers"] if name != b"content-length"]
        else:
            self._body += message.get("body", b"")

    def reply(self) -> Reply:
        return Reply(body=bytes(self._body), status=self._status, headers=tuple(self._headers))
