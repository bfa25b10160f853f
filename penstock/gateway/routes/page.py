"""The page at `/` and the API's description: static, made once."""

from __future__ import annotations

import hashlib
from html import escape
from importlib.resources import files

from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Headers, Reply
from penstock.gateway.wire.base import Asked

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
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
NAMES = ("index.html", "app.css", "app.js", "dom.js", "draw.js", "passages.js", "turn.js", "icon.svg")
NO_EXAMPLE = b'data-example=""'


class PageQuery(Asked, frozen=True):
    """`/?q=…` opens the page with this question filled in."""

    q: str | None = None


class Page:
    """Files out of the package, held in memory. `example` is filled in as the first question."""

    def __init__(self, *, example: str) -> None:
        folder = files("penstock.gateway") / "ui"
        bodies = {("/" if name == "index.html" else f"/{name}"): (folder / name).read_bytes() for name in NAMES}
        assert NO_EXAMPLE in bodies["/"]
        bodies["/"] = bodies["/"].replace(NO_EXAMPLE, f'data-example="{escape(example)}"'.encode())
        self._replies = {path: _asset(body, _kind(path)) for path, body in bodies.items()}

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path=path,
                name=f"page{path}",
                summary="A piece of the page.",
                handle=self.get,
                query=PageQuery,
                media=_kind(path),
                described=False,
                scope=None,
            )
            for path in self._replies
        ]

    async def get(self, call: Call) -> Reply:
        reply, tag = self._replies[call.scope["path"]]
        if any(name == b"if-none-match" and value == tag for name, value in call.scope["headers"]):
            return Reply(body=b"", status=304, headers=reply.headers)
        return reply


def _kind(path: str) -> str:
    return KINDS[path.rpartition(".")[2]] if path != "/" else KINDS["html"]


def _asset(body: bytes, kind: str) -> tuple[Reply, bytes]:
    tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:16].encode()
    return Reply(body=body, headers=((b"content-type", kind.encode()), (b"etag", tag), *SAFE)), tag
