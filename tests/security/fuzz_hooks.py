"""What the fuzzer is told beside the description. Loaded by it, through SCHEMATHESIS_HOOKS."""

from __future__ import annotations

from typing import Any

import schemathesis

LEAST_S = 10.0
"""A deadline of next to nothing is rightly answered with 504; what is looked for here is what breaks."""


@schemathesis.hook
def before_call(_context: Any, case: Any, **_kwargs: Any) -> None:
    for values in (case.headers, case.body):
        for name in ("X-Request-Timeout", "timeout"):
            if hasattr(values, "keys") and name in values:
                values[name] = patient(values[name])


def patient(value: Any) -> Any:
    """Long enough, where it is a time at all; what is wrong stays wrong."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return value
    if not 0 < seconds < LEAST_S:
        return value
    return type(value)(LEAST_S)
