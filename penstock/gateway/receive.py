"""A request's body: read within its limits, decoded with errors that name the field."""

from __future__ import annotations

import asyncio
import re
from typing import Any, TypeVar

import msgspec
from starlette.types import Receive, Scope

from penstock.core.errors import InvalidRequest, TooLarge, UnsupportedParameter
from penstock.gateway.errors import ClientGone
from penstock.gateway.protocol import EXTENSION, PatientProtocol

T = TypeVar("T")

UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
AT = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")


class WrongMediaType(InvalidRequest):
    """The body is not said to be JSON. This also keeps other sites' forms from posting here."""

    status = 415
    code = "unsupported_media_type"


class SlowBody(InvalidRequest):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


def json_body_at_hand(scope: Scope, *, max_bytes: int) -> bytes | None:
    """The body's bytes, where they came together with the head, as almost all do; None: `json_body_to_come`.

    Raises WrongMediaType, and TooLarge before anything is read that is said to be too long.
    """
    if _check_head(scope) > max_bytes:
        raise _too_large(max_bytes)
    ours: PatientProtocol | None = scope.get("extensions", {}).get(EXTENSION)
    body = None if ours is None else ours.whole_body()
    if body is not None and len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def json_body_to_come(receive: Receive, *, max_bytes: int, timeout_s: float) -> bytes:
    """The body's bytes, waited for. Raises TooLarge, SlowBody, ClientGone."""
    parts = bytearray()
    loop = asyncio.get_running_loop()
    until_s = loop.time() + timeout_s
    while True:
        message = await _next(receive, until_s - loop.time())
        parts += message.get("body", b"")
        if len(parts) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(parts)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The request in its struct. Raises InvalidRequest, UnsupportedParameter."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from error
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from error


def converted(values: dict[str, Any], kind: type[T], *, param: str = "", strict: bool = False) -> T:
    """Parameters of a query string in their struct; or a part of a body that was left open, read as `param`."""
    try:
        return msgspec.convert(values, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _named(str(error), param) from error


def _check_head(scope: Scope) -> int:
    said_bytes = 0
    media_type = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            media_type = value
        elif name == b"content-length":
            said_bytes = int(value)
    if media_type != b"application/json" and media_type.partition(b";")[0].strip().lower() != b"application/json":
        raise WrongMediaType("Send JSON, with the header 'Content-Type: application/json'.")
    return said_bytes


async def _next(receive: Receive, timeout_s: float) -> Any:
    alarm = _Alarm()
    timer = asyncio.get_running_loop().call_later(timeout_s, alarm.ring)
    try:
        message = await receive()
    except asyncio.CancelledError:
        if alarm.silenced():
            raise SlowBody("The body did not arrive in time.") from None
        raise
    finally:
        timer.cancel()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


class _Alarm:
    """Cancels the task that made it, and knows that it did: asyncio.timeout, at a fifth of its price."""

    __slots__ = ("_rang", "_task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._rang = False

    def ring(self) -> None:
        self._rang = True
        self._task.cancel()

    def silenced(self) -> bool:
        """Whether the cancellation that arrived was this one, and no other."""
        return self._rang and self._task.uncancel() <= 0


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body is over the limit of {max_bytes} bytes.")


def _named(message: str, inside: str = "") -> InvalidRequest:
    at = AT.search(message)
    path = at["path"] if at else ""
    if inside:
        path = f"{inside}.{path}" if path and not path.startswith("[") else f"{inside}{path}"
    text = AT.sub("", message)
    if unknown := UNKNOWN.search(message):
        return UnsupportedParameter(_joined(path, unknown["field"]))
    if missing := MISSING.search(message):
        name = _joined(path, missing["field"])
        return InvalidRequest(f"'{name}' is missing.", param=name, code="missing_required_parameter")
    subject = f"'{path}'" if path else "The body"
    return InvalidRequest(f"{subject} is wrong: {text}.", param=path or None)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
