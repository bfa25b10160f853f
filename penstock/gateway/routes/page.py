"""The page at `/` and the API's description: static, made once."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Headers, Reply

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
SAFE: Headers = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-cache"),
)
ASSETS = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.css": ("app.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Page:
    """Files out of the package, held in memory."""

    def __init__(self) -> None:
        folder = files("penstock.gateway") / "ui"
        self._replies = {path: _asset((folder / name).read_bytes(), kind) for path, (name, kind) in ASSETS.items()}

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path=path,
                name=name,
                summary="A piece of the page.",
                handle=self.get,
                media=kind,
                described=False,
            )
            for path, (name, kind) in ASSETS.items()
        ]

    async def get(self, call: Call) -> Reply:
        reply, tag = self._replies[call.scope["path"]]
        if any(name == b"if-none-match" and value == tag for name, value in call.scope["headers"]):
            return Reply(body=b"", status=304, headers=reply.headers)
        return reply


def _asset(body: bytes, kind: str) -> tuple[Reply, bytes]:
    tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:16].encode()
    return Reply(body=body, headers=((b"content-type", kind.encode()), (b"etag", tag), *SAFE)), tag
