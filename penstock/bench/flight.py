"""One request on its way, and what of its answer is remembered."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from penstock.bench.plan import Shot

End = Literal["ok", "reject", "error"]
REJECTING = frozenset({429, 503})

FIRST_TOKEN = re.compile(rb'"content": ?"[^"]')
ERROR_EVENT = re.compile(rb"(?:^|\n)event: error\r?\ndata: ?(.*)")
TIMINGS = b'"timings_ms":'
DEGRADED = re.compile(rb'"degraded": ?\["')


class _Error(msgspec.Struct):
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error


class Flight:
    """Moments are on the generator's clock; zero means that it never came to that."""

    __slots__ = (
        "body",
        "code",
        "degraded",
        "dispatched_s",
        "due_s",
        "end",
        "ended_s",
        "first_byte_s",
        "first_token_s",
        "resent",
        "retry_after",
        "sent_s",
        "shot",
        "stages_ms",
        "status",
        "timing_header",
    )

    def __init__(self, shot: Shot, *, due_s: float, now_s: float) -> None:
        self.shot = shot
        self.due_s = due_s
        self.dispatched_s = now_s
        self.sent_s = self.first_byte_s = self.first_token_s = self.ended_s = 0.0
        self.status = 0
        self.end: End | None = None
        self.code = ""
        self.retry_after = b""
        self.timing_header = b""
        self.degraded = False
        self.resent = False
        self.body: list[bytes] = []
        self.stages_ms: dict[str, float] = {}

    @property
    def began_s(self) -> float:
        """Where latency begins: when it was due, however late it was sent. A timer may also fire a little early."""
        return min(self.due_s, self.sent_s or self.due_s)

    def received(self, data: bytes, now_s: float) -> None:
        """A piece of the answer's body."""
        self.body.append(data)
        if not self.first_token_s and self.shot.kind == "stream" and FIRST_TOKEN.search(data):
            self.first_token_s = now_s

    def finished(self, now_s: float) -> None:
        """The whole answer is here: judge it."""
        self.ended_s = now_s
        body = b"".join(self.body)
        self.body.clear()
        if self.status != 200:
            self.end = "reject" if self.status in REJECTING else "error"
            self.code = code_of(body)
            return
        broken = ERROR_EVENT.search(body) if self.shot.kind == "stream" else None
        if broken:
            self.end, self.code = "error", f"in the stream: {code_of(broken.group(1))}"
        elif self.shot.kind == "stream" and b"data: [DONE]" not in body[-64:]:
            self.end, self.code = "error", "stream without an end"
        else:
            self.end = "ok"
            self._read_stages(body)
            self.degraded = self.degraded or bool(DEGRADED.search(body))

    def failed(self, why: str, now_s: float) -> None:
        """There will be no answer."""
        self.ended_s = now_s
        self.body.clear()
        self.end, self.code = "error", why

    def _read_stages(self, body: bytes) -> None:
        if self.timing_header:
            self.stages_ms = stages_of_header(self.timing_header)
        elif (at := body.rfind(TIMINGS)) >= 0:
            found = body[at + len(TIMINGS) : body.index(b"}", at) + 1]
            self.stages_ms = msgspec.json.decode(found, type=dict[str, float])


def code_of(body: bytes) -> str:
    """The `error.code` of OpenAI's error shape; empty where the body is something else."""
    try:
        return str(msgspec.json.decode(body, type=_Body).error.code or "")
    except msgspec.MsgspecError:
        return ""


def stages_of_header(header: bytes) -> dict[str, float]:
    """`Server-Timing: embed;dur=1.5, search;dur=.3`, in milliseconds."""
    stages: dict[str, float] = {}
    for part in header.decode("latin-1").split(","):
        name, found, duration = part.strip().partition(";dur=")
        if found:
            stages[name] = float(duration)
    return stages
