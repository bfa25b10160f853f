"""The outermost layer: gives each request its id, counts it and times it."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.telemetry.metrics import Metrics

NOSNIFF = (b"x-content-type-options", b"nosniff")
CLIENT_GONE = 499


class Observed:
    """Adds `x-request-id` to every answer; counts by route, never by path: a path is the caller's to invent."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        # Looking up labels takes a lock and builds keys; routes and statuses are few.
        self._counters: dict[tuple[str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{os.urandom(16).hex()}"
        scope["request_id"] = request_id
        status = 500

        def marking(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], NOSNIFF, (b"x-request-id", request_id.encode())]
            return send(message)

        self._metrics.requests_in_flight.inc()
        began_s = time.perf_counter()
        try:
            await self._app(scope, receive, marking)
        finally:
            took_s = time.perf_counter() - began_s
            self._metrics.requests_in_flight.dec()
            route = scope.get("route")
            self._count(
                getattr(route, "path", "unmatched"), CLIENT_GONE if scope.get("client_gone") else status, took_s
            )

    def _count(self, route: str, status: int, took_s: float) -> None:
        counter = self._counters.get((route, status))
        if counter is None:
            counter = self._counters[route, status] = self._metrics.requests.labels(route, str(status))
        histogram = self._histograms.get(route)
        if histogram is None:
            histogram = self._histograms[route] = self._metrics.request_seconds.labels(route)
        counter.inc()
        histogram.observe(took_s)
