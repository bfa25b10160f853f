"""The outermost layer: gives each request its id, counts it and times it."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.telemetry.metrics import Metrics

EXTRA_HEADERS = "extra_headers"
"""Where in a request's scope lie the headers that its answer will have, whatever it becomes."""
BEGUN = "answer_begun"
"""Set in the scope once an answer has begun: it can no longer become another."""
NOSNIFF = (b"x-content-type-options", b"nosniff")
CLIENT_GONE = 499


class Observed:
    """Adds `x-request-id` to every answer; counts by route, never by path: a path is the caller's to invent."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._random = random.Random()  # noqa: S311 - ids are names, not secrets; asking the system costs more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{self._random.getrandbits(128):032x}"
        scope["request_id"] = request_id
        status = 500

        def marking(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                scope[BEGUN] = True
                extra = scope.get(EXTRA_HEADERS, ())
                message["headers"] = [*message["headers"], *extra, NOSNIFF, (b"x-request-id", request_id.encode())]
            return send(message)

        self._metrics.in_flight += 1
        began_s = time.perf_counter()
        try:
            await self._app(scope, receive, marking)
        finally:
            took_s = time.perf_counter() - began_s
            self._metrics.in_flight -= 1
            route = scope.get("route")
            self._count(
                getattr(route, "path", "unmatched"), CLIENT_GONE if scope.get("client_gone") else status, took_s
            )

    def _count(self, route: str, status: int, took_s: float) -> None:
        self._metrics.requests.add(route, str(status))
        self._metrics.request_seconds.observe(route, took_s)
