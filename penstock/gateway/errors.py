"""Every error as OpenAI's error shape, and the layer that turns one into an answer."""

from __future__ import annotations

import asyncio
import logging
import math

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.core.errors import Overloaded, PenstockError, Setup
from penstock.gateway.observe import BEGUN
from penstock.gateway.reply import Headers, Reply
from penstock.gateway.wire.base import ErrorBody, ErrorResponse

log = logging.getLogger("penstock.gateway")

encoder = msgspec.json.Encoder()

INTERNAL = ErrorBody(
    message="Something went wrong on our side; the log has it under this request's id.",
    type="server_error",
    code="internal_error",
)

GONE = ErrorBody(message="The caller has left.", type="invalid_request_error", code="client_gone")


class ClientGone(Exception):
    """The caller has left: there is nobody to answer."""


def body_of(error: PenstockError) -> ErrorBody:
    """The error object that a caller sees."""
    if isinstance(error, Setup) and error.status >= 500:
        # Paths and settings of the machine are for its operator, not for callers.
        return ErrorBody(
            message="The server is not set up to do this; its log says why.", type=error.type, code=error.code
        )
    return ErrorBody(message=error.message, type=error.type, param=error.param, code=error.code)


def reply_to(error: Exception, request_id: str) -> Reply:
    """The answer that says what went wrong. What is not ours to show is logged under the request's id."""
    if isinstance(error, PenstockError):
        if isinstance(error, Setup):
            log.error("%s: %s", request_id, error.message)
        return reply(error.status, body_of(error), retry_headers(error))
    if isinstance(error, HTTPException):
        return _routing(error)
    log.error("%s: unexpected error", request_id, exc_info=error)
    return reply(500, INTERNAL)


def body_in_stream(error: Exception, request_id: str) -> ErrorBody:
    """The error object for a stream that has begun. What is not ours to show is logged."""
    if isinstance(error, PenstockError):
        return body_of(error)
    log.error("%s: unexpected error in a stream", request_id, exc_info=error)
    return INTERNAL


def event_of(error: Exception, request_id: str) -> bytes:
    """The same as a server-sent event named `error`."""
    body = body_in_stream(error, request_id)
    return retry_line(error) + b"event: error\ndata: " + encoder.encode(ErrorResponse(error=body)) + b"\n\n"


def retry_line(error: Exception) -> bytes:
    """The standard's line that says when to come back, in milliseconds; empty where that makes no sense."""
    for _, seconds in retry_headers(error) if isinstance(error, PenstockError) else ():
        return b"retry: %b000\n" % seconds
    return b""


def reply(status: int, body: ErrorBody, headers: Headers = ()) -> Reply:
    """An error with this body."""
    return Reply(body=encoder.encode(ErrorResponse(error=body)), status=status, headers=headers)


def retry_headers(error: PenstockError) -> Headers:
    """Retry-After, in whole seconds and never zero, where trying again makes sense."""
    if isinstance(error, Overloaded):
        return ((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()),)
    if error.status == 503:
        return ((b"retry-after", b"1"),)
    return ()


def _routing(error: HTTPException) -> Reply:
    code = {404: "unknown_path", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    message = {
        404: "There is nothing at this path. GET /openapi.json lists what there is.",
        405: "This path does not take this method.",
    }.get(error.status_code, str(error.detail))
    headers = tuple((name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items())
    return reply(error.status_code, ErrorBody(message=message, type="invalid_request_error", code=code), headers)


class Translated:
    """Answers with the error's shape whatever is raised below, as long as no answer has begun: `BEGUN` in the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientGone:
            scope["client_gone"] = True
            if BEGUN not in scope:
                # Nobody hears it: it tells the HTTP server that the request is over. Without it, where the connection
                # is closing and not yet closed, the server would take the silence for a fault of ours.
                await reply(408, GONE).send(send)
        except asyncio.CancelledError:
            # Only a server that stops cancels requests as a whole. Whoever has heard nothing yet may ask elsewhere.
            if BEGUN in scope:
                raise
            await reply_to(Overloaded("The server is stopping. Ask again."), scope["request_id"]).send(send)
        except Exception as error:
            if BEGUN in scope:
                raise  # the server closes the connection: a broken answer must not look whole
            await reply_to(error, scope["request_id"]).send(send)
