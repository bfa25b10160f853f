"""What an engine's answer means for a caller: every HTTP status and error object becomes one of our errors.

StageUnavailable  the engine is down, broken or misconfigured: another replica may do
Overloaded        it asks us to come back later: another replica or key may do
InvalidRequest    the request itself is at fault: no replica will do
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from penstock.core.errors import InvalidRequest, Overloaded, PenstockError, StageUnavailable, TooLarge
from penstock.generate.wire import WireFault

STAGE = "generate"
MAX_DETAIL_CHARS = 300
LONGEST_WAIT_S = 3600.0


def fault_of(status: int, headers: Mapping[str, str], fault: WireFault, *, model: str) -> PenstockError:
    """The error for a refused request. An engine's 401 is our key's fault, so it never reads as the caller's."""
    said = _detail(fault)
    if status == 429 or (status == 503 and "Retry-After" in headers):
        wait_s = retry_after_s(headers)
        return Overloaded(f"The engine of '{model}' is busy{said}.", retry_after_s=1.0 if wait_s is None else wait_s)
    if status == 413:
        return TooLarge(f"The prompt is too large for '{model}'{said}.", param="messages")
    if status in (400, 422):
        code = str(fault.code) if fault.code and not str(fault.code).isdigit() else None
        return InvalidRequest(f"The engine of '{model}' refused the request{said}.", param=fault.param, code=code)
    if status in (401, 403):
        return StageUnavailable(STAGE, f"the engine of '{model}' refuses our API key (status {status})")
    return StageUnavailable(STAGE, f"the engine of '{model}' answered with status {status}{said}")


def fault_in_stream(fault: WireFault, *, model: str) -> PenstockError:
    """The error for an error object that came after a 200."""
    code = str(fault.code or fault.type or "")
    if code in ("429", "rate_limit_exceeded", "overloaded_error", "rate_limit_error"):
        return Overloaded(f"The engine of '{model}' is busy{_detail(fault)}.")
    return StageUnavailable(STAGE, f"the engine of '{model}' failed while it answered{_detail(fault)}")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After-Ms or Retry-After (a number or a date); None where neither can be read."""
    for name, scale in (("Retry-After-Ms", 0.001), ("Retry-After", 1.0)):
        try:
            return min(max(0.0, float(headers[name]) * scale), LONGEST_WAIT_S)
        except (KeyError, ValueError):
            continue
    try:
        until_s = parsedate_to_datetime(headers["Retry-After"]).timestamp()
    except (KeyError, ValueError):
        return None
    return min(max(0.0, until_s - time.time()), LONGEST_WAIT_S)


def _detail(fault: WireFault) -> str:
    said = " ".join(fault.message.split())[:MAX_DETAIL_CHARS].rstrip(".")
    return f": {said}" if said else ""
