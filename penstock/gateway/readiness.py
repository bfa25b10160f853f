"""Whether this process wants new requests."""

from __future__ import annotations

from typing import Literal


class Readiness:
    """`starting` until whoever assembled the server says `ready`; `stopping` before its sockets close."""

    def __init__(self) -> None:
        self.state: Literal["starting", "ready", "stopping"] = "starting"

    def ready(self) -> None:
        if self.state == "starting":
            self.state = "ready"

    def stopping(self) -> None:
        self.state = "stopping"
