"""Who calls. Without keys that is whoever reaches this machine's loopback, and no web page from elsewhere."""

from __future__ import annotations

import ipaddress
from typing import Protocol
from urllib.parse import urlsplit

from starlette.types import Scope

from penstock.core.errors import Forbidden
from penstock.core.types import Principal


class Authenticator(Protocol):
    """Decides who calls from the request's head alone."""

    def authenticate(self, scope: Scope) -> Principal:
        """The caller. Raises Unauthenticated, Forbidden."""
        ...


class Loopback:
    """No keys: everybody on this machine is the tenant `default`.

    A web page from elsewhere can reach the loopback through its visitor's browser, under its own name when it
    rebinds that name's address. So the request's Host must be a loopback name, and its Origin, if it has one, the same.
    The server must be bound to the loopback only: `require_loopback` says so at start.
    """

    def __init__(self) -> None:
        self._principal = Principal()
        self._known_hosts: set[bytes] = set()

    def authenticate(self, scope: Scope) -> Principal:
        host = origin = b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
        if host not in self._known_hosts:
            self._check(host)
        if origin and origin.partition(b"://")[2] != host:
            raise Forbidden("This page's origin may not call this server.")
        return self._principal

    def _check(self, host: bytes) -> None:
        if not is_loopback(_hostname(host)):
            raise Forbidden(
                "Without API keys this server answers only to 127.0.0.1, localhost and [::1]. "
                "Call it by one of these names."
            )
        if len(self._known_hosts) < 64:
            self._known_hosts.add(host)


def require_loopback(host: str) -> None:
    """Raise Forbidden unless `host` is this machine's loopback: without keys anybody could call."""
    if not is_loopback(host):
        raise Forbidden(
            f"Without API keys the server only listens on this machine, and '{host}' is open to others. "
            "Use --host 127.0.0.1, or a reverse proxy that knows its users."
        )


def is_loopback(name: str) -> bool:
    """Whether the name can only mean this machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _hostname(host: bytes) -> str:
    try:
        return urlsplit(f"//{host.decode('ascii')}").hostname or ""
    except ValueError:
        return ""
