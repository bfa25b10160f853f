"""A document from a URL: a few seconds, a few megabytes, at most three redirects, and never an internal address.

The name is resolved once, every address is checked, and the connection goes to one that was: a second answer of the
name server (DNS rebinding) is never asked for. Each redirect is a new URL and is checked as one.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Literal

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from penstock.core.errors import BadDocument
from penstock.ingest.address import AddressRules

MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PIECE_BYTES = 64 * 1024
HEADERS = {"User-Agent": "Penstock", "Accept": "*/*", "Accept-Encoding": "identity"}

Lookup = Callable[[str, int], Sequence[str]]
"""A host's addresses, by name and port. Blocks; raises OSError."""


def system_lookup(host: str, port: int) -> list[str]:
    """What the system's resolver says."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Fetcher:
    """Fetches documents. `lookup` is a parameter for tests that need a name server that lies."""

    def __init__(
        self, *, rules: AddressRules, max_bytes: int, timeout_s: float, lookup: Lookup = system_lookup
    ) -> None:
        self._rules = rules
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._lookup = lookup

    def fetch(self, url: str) -> bytes:
        """The bytes at the end of the redirects. Blocks: call it from a thread. Raises BadDocument."""
        return asyncio.run(self._fetch(url))

    async def _fetch(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url)
        except TimeoutError as error:
            raise BadDocument("timeout", f"It did not come within {self._timeout_s:g} seconds.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(cause := _cause(error), BadDocument):
                raise cause from error
            raise BadDocument("unreadable", f"It cannot be fetched: {error or type(error).__name__}.") from error

    async def _follow(self, start: str) -> bytes:
        url = self._rules.check_url(start)
        for _ in range(MAX_REDIRECTS + 1):
            # A connection of its own for each: nothing is kept that was opened to another host.
            connector = aiohttp.TCPConnector(
                resolver=_Checked(self._rules, self._lookup), use_dns_cache=False, force_close=True
            )
            async with (
                aiohttp.ClientSession(
                    connector=connector, trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.get(url, headers=HEADERS, allow_redirects=False) as response,
            ):
                if response.status not in REDIRECTS:
                    return await self._body(response)
                url = self._rules.check_url(str(url.join(_location(response))))
        raise BadDocument("unreadable", f"It leads on through more than {MAX_REDIRECTS} redirects.")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """A compressed answer is unpacked in the parser's sandbox, like any compressed file."""
        if response.status != 200:
            raise BadDocument("unreadable", f"The server answers {response.status}.")
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        async for piece in response.content.iter_chunked(PIECE_BYTES):
            size += len(piece)
            if size > self._max_bytes:
                raise self._too_large()
            pieces.append(piece)
        return b"".join(pieces)

    def _too_large(self) -> BadDocument:
        return BadDocument("too_large", f"It has more than {self._max_bytes} bytes; see ingest.url_max_bytes.")


class _Checked(AbstractResolver):
    """Gives the client only addresses that were checked. One bad address among several refuses them all."""

    def __init__(self, rules: AddressRules, lookup: Lookup) -> None:
        self._rules = rules
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.to_thread(self._lookup, host, port)
        results: list[ResolveResult] = []
        for text in dict.fromkeys(found):
            address = ip_address(text.partition("%")[0])
            self._rules.check_address(address, host=host, port=port)
            of_family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            if family in (socket.AF_UNSPEC, of_family):
                results.append(
                    ResolveResult(
                        hostname=host, host=str(address), port=port, family=of_family, proto=0,
                        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                    )
                )  # fmt: skip
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _location(response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location", "")
    if not location or any(sign <= " " or sign == "\\" for sign in location):
        raise BadDocument("forbidden", "It leads on to what is no URL.")
    return URL(location)


def _cause(error: BaseException) -> BaseException:
    """What lies at the bottom of the client's wrappers."""
    while (inner := error.__cause__ or error.__context__) is not None and not isinstance(error, BadDocument):
        error = inner
    return error


class UrlSource:
    """One document on the web, as a source. It is fetched each time: only its content says whether it changed."""

    kind: Literal["file", "record"] = "file"
    size_bytes = 0
    """Not known before."""

    def __init__(self, *, url: str, fetcher: Fetcher) -> None:
        self.identity = f"url:{url}"
        self.name = url
        self.stamp = str(time.time_ns())
        self._fetcher = fetcher
        self._url = url

    def read(self) -> bytes:
        """Blocks; raises BadDocument."""
        return self._fetcher.fetch(self._url)


def is_url(text: str) -> bool:
    """Whether an argument means a place on the web rather than a file."""
    return "://" in text
