"""The page at `/`: static, made once."""

from __future__ import annotations

from html import escape

from penstock.gateway.assets import INDEX, KINDS, Assets
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.wire.base import Asked

NO_EXAMPLE = b'data-example=""'


class PageQuery(Asked, frozen=True):
    """`/?q=…` opens the page with this question filled in."""

    q: str | None = None


class Page:
    """`index.html` at `/`, the others below `/ui/`. `example` is filled in as the first question."""

    def __init__(self, *, example: str) -> None:
        self._assets = Assets("ui", index=lambda body: _with_example(body, example))

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path="/",
                name="page",
                summary="The page.",
                handle=self.index,
                query=PageQuery,
                media=KINDS["html"],
                described=False,
                scope=None,
            ),
            Operation(
                method="GET",
                path="/ui/{name:path}",
                name="pageFile",
                summary="A piece of the page.",
                handle=self.piece,
                media=KINDS["js"],
                described=False,
                scope=None,
            ),
        ]

    async def index(self, call: Call) -> Reply:
        return self._assets.reply(INDEX, call)

    async def piece(self, call: Call) -> Reply:
        return self._assets.reply(call.path("name"), call)


def _with_example(body: bytes, example: str) -> bytes:
    assert NO_EXAMPLE in body
    return body.replace(NO_EXAMPLE, f'data-example="{escape(example)}"'.encode())
