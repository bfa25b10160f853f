"""The API's reference at `/docs`, made by the browser from `/openapi.json`: no outside asset, and forms to try it."""

from __future__ import annotations

from penstock.gateway.assets import INDEX, KINDS, Assets
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply


class Reference:
    """`index.html` at `/docs`, the others below it."""

    def __init__(self) -> None:
        self._assets = Assets("reference")

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path="/docs",
                name="reference",
                summary="The reference.",
                handle=self.index,
                media=KINDS["html"],
                described=False,
                scope=None,
            ),
            Operation(
                method="GET",
                path="/docs/{name:path}",
                name="referenceFile",
                summary="A piece of the reference.",
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
