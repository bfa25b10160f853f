"""Which addresses of the network a document may be fetched from: public ones, and those that the operator names.

One parser (yarl's, which is also the client's) reads a URL once; the address that was checked is the one that is
connected to.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from yarl import URL

from penstock.core.errors import BadDocument

MAX_URL_CHARS = 2_048
MAX_HOST_CHARS = 253
SCHEMES = ("http", "https")
NUMBERS_ONLY = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]*|[0-9]+))*\.?")
"""A host of numbers that is no plain address: 2130706433, 0177.1, 0x7f.1. Some resolvers take them for one."""
HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\.?")
DENIED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
PUBLIC_V6 = ip_network("2000::/3")
DENIED_V6 = tuple(ip_network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
"""Of the public part: tunnels (Teredo, 6to4) that lead to any IPv4 address, and documentation."""

Address = IPv4Address | IPv6Address


def is_public(address: Address) -> bool:
    """Whether anybody's documents may lie there."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in DENIED)
    return address in PUBLIC_V6 and not any(address in network for network in DENIED_V6)


class AddressRules:
    """What may be fetched. `allowed` are host names or networks of the operator's, with a port where it is another."""

    def __init__(self, *, allowed: tuple[str, ...] = (), ports: tuple[int, ...] = (80, 443)) -> None:
        self._ports = ports
        self._hosts = {entry.lower() for entry in allowed if "/" not in entry}
        self._networks = [ip_network(entry, strict=False) for entry in allowed if "/" in entry]

    def check_url(self, text: str) -> URL:
        """The URL, if it may be asked for at all. Raises BadDocument (forbidden)."""
        if len(text) > MAX_URL_CHARS or any(sign <= " " or sign in '\\\x7f"<>^`{|}' for sign in text):
            raise _forbidden("It is no URL.")
        try:
            url = URL(text)
            scheme, host, port = url.scheme, (url.raw_host or "").lower(), url.port
        except ValueError as error:
            raise _forbidden(f"It is no URL: {error}.") from error
        if scheme not in SCHEMES or not host:
            raise _forbidden("Only http and https are fetched.")
        if url.raw_user is not None or url.raw_password is not None:
            raise _forbidden("A URL with a user's name or password is not fetched.")
        address = _literal(host)
        if address is None and (NUMBERS_ONLY.fullmatch(host) or not HOST.fullmatch(host) or len(host) > MAX_HOST_CHARS):
            raise _forbidden(f"'{host}' is no name of a host.")
        if port not in self._ports and f"{host}:{port}" not in self._hosts:
            raise _forbidden(f"Nothing is fetched from port {port}. `ingest.url_hosts` can allow {host}:{port}.")
        if address is not None:
            self.check_address(address, host=host, port=port)
        return url

    def check_address(self, address: Address, *, host: str, port: int | None) -> None:
        """Raise BadDocument (forbidden) for an address where a document must not be fetched."""
        named = host.rstrip(".") in self._hosts or f"{host}:{port}" in self._hosts
        if named or is_public(address) or any(address in network for network in self._networks):
            return
        raise _forbidden(f"{host} is at {address}, which is not public. `ingest.url_hosts` can allow it.")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _forbidden(message: str) -> BadDocument:
    return BadDocument("forbidden", message)
