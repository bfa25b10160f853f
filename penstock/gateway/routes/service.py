"""What operators ask: alive, ready, metrics."""

from __future__ import annotations

import msgspec

from penstock.gateway.operation import Call, Operation
from penstock.gateway.readiness import Readiness
from penstock.gateway.reply import NO_STORE, Reply
from penstock.gateway.wire.base import Health
from penstock.telemetry.metrics import CONTENT_TYPE, Metrics

ALIVE = msgspec.json.encode(Health(status="alive"))


class Service:
    """The process itself."""

    def __init__(self, *, metrics: Metrics, readiness: Readiness) -> None:
        self._metrics = metrics
        self._readiness = readiness

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path="/healthz",
                name="health",
                summary="Whether the process is alive.",
                handle=self.alive,
                answer=Health,
                scope=None,
            ),
            Operation(
                method="GET",
                path="/readyz",
                name="readiness",
                summary="Whether the process wants requests: 503 while it starts and stops.",
                handle=self.ready,
                answer=Health,
                otherwise=((503, Health),),
                scope=None,
            ),
            Operation(
                method="GET",
                path="/metrics",
                name="metrics",
                summary="Metrics in the text format of Prometheus.",
                handle=self.metrics,
                media="text/plain",
                scope="admin",
                of_server=True,
            ),
        ]

    async def alive(self, _call: Call) -> Reply:
        return Reply(body=ALIVE)

    async def ready(self, _call: Call) -> Reply:
        state = self._readiness.state
        return Reply(body=msgspec.json.encode(Health(status=state)), status=200 if state == "ready" else 503)

    async def metrics(self, _call: Call) -> Reply:
        headers = ((b"content-type", CONTENT_TYPE.encode()), NO_STORE)
        return Reply(body=self._metrics.exposition(), headers=headers)
