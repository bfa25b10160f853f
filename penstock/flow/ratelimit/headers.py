"""A decision in the headers that OpenAI's clients know."""

from __future__ import annotations

import math

from penstock.flow.ratelimit.quota import Decision


def headers_of(decision: Decision) -> dict[str, str]:
    """x-ratelimit-limit/remaining/reset for requests and tokens, and Retry-After for a refusal."""
    headers: dict[str, str] = {}
    for name, meter in (("requests", decision.requests), ("tokens", decision.tokens)):
        if meter is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(meter.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(meter.remaining)
            headers[f"x-ratelimit-reset-{name}"] = duration(meter.reset_s)
    if not decision.allowed:
        headers["retry-after"] = str(max(1, math.ceil(decision.retry_after_s)))
    return headers


def duration(seconds: float) -> str:
    """As OpenAI writes it: 12ms, 7.66s, 6m0s, 1h2m3s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest_s = divmod(seconds, 60)
    if not minutes:
        return f"{round(rest_s, 2):g}s"
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h{minutes}m{int(rest_s)}s" if hours else f"{minutes}m{int(rest_s)}s"
