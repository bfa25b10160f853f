"""What a fake engine does, and what it remembers of each request."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Fault = Literal[
    "none",
    "status_500",
    "status_429",
    "refused",
    "reset",
    "hang_headers",
    "hang_tokens",
    "slow_bytes",
    "truncated",
    "bad_json",
    "split_utf8",
    "long_line",
    "html_200",
    "error_after_200",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)


class Behaviour(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the server does. May be changed while it runs."""

    fault: Fault = "none"
    fault_share: float = 1.0
    """Every so many of the requests meet the fault, evenly spread."""
    models_fail: bool = True
    """While it has a fault, the list of models, which health probes read, is an error, too."""
    slots: int = 1024
    first_token_ms: float = 0.0
    token_ms: float = 0.0
    prefill_us_per_token: float = 0.0
    """Beside `first_token_ms`, for prompt tokens that are not in the prefix cache."""
    cache_blocks: int = 1_000_000
    tokens: int = 32
    answer: str = ""
    """Said word by word instead of the stock words."""
    say_usage: bool = True
    retry_after: str = "1"
    refused_keys: list[str] = []
    """Values of Authorization that get a 401."""
    headers: dict[str, str] = {}
    """Sent with every answer, such as x-ratelimit-remaining-requests."""


class Seen(msgspec.Struct, kw_only=True):
    """One request as it was met. Times are on this machine's monotonic clock."""

    model: str
    came_s: float
    budget_ms: int | None
    authorization: str = ""
    seed: int | None = None
    """Whatever the caller sent, to know the request by."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    sent_tokens: int = 0
    last_two_s: tuple[float, float] = (0.0, 0.0)
    """When the last token but one was sent, and the last."""
    ended_s: float = 0.0
    end: Literal["running", "complete", "cut", "fault"] = "running"
