"""Static files out of the package, held in memory, under a policy that lets nothing in from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from penstock.core.errors import NotFound
from penstock.gateway.operation import Call
from penstock.gateway.reply import Headers, Reply

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
SAFE: Headers = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    # A look-up of a link's host would already carry what an answer put into its name.
    (b"x-dns-prefetch-control", b"off"),
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
INDEX = "index.html"


class Assets:
    """The files of a folder beside this one, by their paths in there."""

    def __init__(self, folder: str, *, index: Callable[[bytes], bytes] = lambda body: body) -> None:
        """`index` fills in what `index.html` leaves open."""
        bodies = dict(bodies_of(files("penstock.gateway") / folder))
        bodies[INDEX] = index(bodies[INDEX])
        self._replies = {name: _asset(body, KINDS[name.rpartition(".")[2]]) for name, body in bodies.items()}

    def reply(self, name: str, call: Call) -> Reply:
        """The file, or that it has not changed. Raises NotFound."""
        if name not in self._replies:
            raise NotFound("piece of the page", name)
        reply, tag = self._replies[name]
        if any(header == b"if-none-match" and value == tag for header, value in call.scope["headers"]):
            return Reply(body=b"", status=304, headers=reply.headers)
        return reply


def bodies_of(folder: Traversable, above: str = "") -> Iterator[tuple[str, bytes]]:
    """Every file below the folder, by its path in there."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from bodies_of(entry, f"{above}{entry.name}/")
        elif entry.name.rpartition(".")[2] in KINDS:
            yield f"{above}{entry.name}", entry.read_bytes()


def _asset(body: bytes, kind: str) -> tuple[Reply, bytes]:
    tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:16].encode()
    return Reply(body=body, headers=((b"content-type", kind.encode()), (b"etag", tag), *SAFE)), tag
