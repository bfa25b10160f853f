"""`/v1/models`: the names that `model` takes."""

from __future__ import annotations

import time

import msgspec

from penstock.core.errors import NotFound
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Reply
from penstock.gateway.wire.models import Model, ModelList
from penstock.pipeline.question import Router

encode = msgspec.json.Encoder().encode


class Models:
    """Whatever the router can choose."""

    def __init__(self, *, router: Router) -> None:
        self._router = router
        self._created = int(time.time())

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path="/v1/models",
                name="listModels",
                summary="The models that answer.",
                handle=self.list,
                answer=ModelList,
            ),
            Operation(
                method="GET",
                path="/v1/models/{model:path}",  # names may have slashes
                name="retrieveModel",
                summary="One model.",
                handle=self.get,
                answer=Model,
            ),
        ]

    async def get(self, call: Call) -> Reply:
        name = call.path("model")
        if name not in self._router.models():
            raise NotFound("model", name, param="model")
        return Reply(body=encode(Model(id=name, created=self._created)))

    async def list(self, _call: Call) -> Reply:
        data = [Model(id=name, created=self._created) for name in self._router.models()]
        return Reply(body=encode(ModelList(data=data)))
