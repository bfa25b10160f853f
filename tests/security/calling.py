"""Calls an ASGI application directly: thousands of probes a second, and nothing between the test and the bytes."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import unquote

BOUNDARY = "probe-7f3a"


class Seen(NamedTuple):
    """Everything that a caller gets to see."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def everything(self) -> bytes:
        return b"\n".join([b"%b: %b" % pair for pair in self.headers]) + b"\n" + self.body

    def json(self) -> Any:
        return json.loads(self.body)


class Body(NamedTuple):
    """A request's body with its media type."""

    media: str
    content: bytes


NO_BODY = Body("", b"")


def as_json(value: Any) -> Body:
    return Body("application/json", json.dumps(value).encode())


def as_form(fields: dict[str, str], file: tuple[str, bytes] | None = None, *, field: str = "file") -> Body:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if file is not None:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{file[0]}"\r\n\r\n'
        parts.append(head.encode() + file[1] + b"\r\n")
    parts.append(f"--{BOUNDARY}--\r\n".encode())
    return Body(f"multipart/form-data; boundary={BOUNDARY}", b"".join(parts))


async def call(app: Any, method: str, target: str, *, token: str | None = None, body: Body = NO_BODY) -> Seen:
    """One request to its end. `target` is a path as it stands on the wire, with its query."""
    path, _, query = target.partition("?")
    headers = [
        (b"host", b"penstock.example"),
        (b"accept", b"application/json, text/event-stream"),
        (b"content-length", str(len(body.content)).encode()),
    ]
    if body.media:
        headers.append((b"content-type", body.media.encode()))
    if token is not None:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": headers,
        "client": ("192.0.2.1", 50_000),
        "server": ("penstock.example", 443),
    }
    asked = False
    status, head, parts = 0, [], []

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # the caller stays
        asked = True
        return {"type": "http.request", "body": body.content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, head
        if message["type"] == "http.response.start":
            status, head = message["status"], list(message.get("headers", []))
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Seen(status, head, b"".join(parts))
