"""Check 23: no URL, however written, redirected or resolved, makes a connection to an internal address."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator

import pytest
from aiohttp import web

from penstock.core.errors import BadDocument
from penstock.ingest.address import AddressRules
from penstock.ingest.fetch import Fetcher, UrlSource

MAX_BYTES = 100_000


class Canary:
    """Listens on every loopback address there is and counts who comes."""

    def __init__(self) -> None:
        self._v4 = socket.create_server(("0.0.0.0", 0))
        self.port = self._v4.getsockname()[1]
        self._sockets = [self._v4]
        if socket.has_ipv6:
            self._sockets.append(socket.create_server(("::", self.port), family=socket.AF_INET6, dualstack_ipv6=False))
        for each in self._sockets:
            each.setblocking(False)

    def visits(self) -> int:
        count = 0
        for each in self._sockets:
            try:
                each.accept()[0].close()
                count += 1
            except BlockingIOError:
                continue
        return count

    def close(self) -> None:
        for each in self._sockets:
            each.close()


class Site:
    """A web server on a thread of its own, which the operator has allowed by name."""

    def __init__(self) -> None:
        self.port = 0
        self.redirects: dict[str, str] = {}
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_get("/{name:.*}", self._answer)
        runner = web.AppRunner(app)

        async def start() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            self._ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[name]})
        if name == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(bytes(64 * 1024))
        if name == "slow":
            await asyncio.sleep(30)
        if name == "packed":
            body = gzip.compress(b"# Packed")
            return web.Response(body=body, headers={"Content-Encoding": "gzip"})
        return web.Response(status=404) if name == "missing" else web.Response(text="# Words of the site")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


NAMES = {
    "site.test": ["127.0.0.1"], "loopback.test": ["127.0.0.1"], "six.test": ["::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "mixed.test": ["93.184.216.34", "127.0.0.1"], "mixed-six.test": ["2606:2800:220:1::1", "::1"],
    "private.test": ["10.0.0.7"], "metadata.test": ["169.254.169.254"], "any.test": ["0.0.0.0"], "any-six.test": ["::"],
    "scoped.test": ["fe80::1%lo"], "unique.test": ["fd00::1"], "nat.test": ["64:ff9b::7f00:1"],
    "six-to-four.test": ["2002:7f00:1::"], "teredo.test": ["2001:0:7f00:1::"], "shared.test": ["100.64.0.1"],
    "multicast.test": ["224.0.0.1"], "broadcast.test": ["255.255.255.255"], "compatible.test": ["::127.0.0.1"],
}  # fmt: skip


class LyingLookup:
    """A name server that gives a public address first and a loopback one after that, and knows the names above."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host == "rebinding.test":
            return ["127.0.0.1"] if self.asked.count(host) > 1 else ["192.0.2.1"]
        if host.rstrip(".") in NAMES:
            return NAMES[host.rstrip(".")]
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def fetcher(canary: Canary, site: Site, *, lookup: LyingLookup | None = None, timeout_s: float = 5.0) -> Fetcher:
    # The canary's port is an allowed one, so that only the address can be what is refused.
    rules = AddressRules(allowed=(f"site.test:{site.port}",), ports=(80, 443, canary.port))
    return Fetcher(rules=rules, max_bytes=MAX_BYTES, timeout_s=timeout_s, lookup=lookup or LyingLookup())


HOSTS = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7F.1",
    "0177.0.0.1",
    "017700000001", "0", "0.0.0.0", "00000177.0.0.1", "127.0.0.01", "127.0.0.1.", "127.000.000.001", "4294967295",
    "425.510.425.510", "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "ip6-localhost",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[fe80::1%25lo]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "169.254.169.254", "[fd00:ec2::254]",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255",
    "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "ｌｏｃａｌｈｏｓｔ",
    "loc%61lhost", "127.0.0.1%2f", "site.test@127.0.0.1",
    "site.test:x@127.0.0.1", "127.0.0.1\\@site.test", "127.0.0.1#@site.test", "site.test\t@127.0.0.1", " 127.0.0.1",
    "127.0.0.1%00.site.test", "-localhost", "a..b", *(name for name in NAMES if name != "site.test"), "rebinding.test",
)  # fmt: skip
OTHER_SCHEMES = (
    "file:///etc/passwd", "FILE:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "dict://127.0.0.1:{port}/x",
    "ftp://127.0.0.1:{port}/x", "ldap://127.0.0.1:{port}/", "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun/x",
    "jar:http://127.0.0.1:{port}!/", "data:text/plain,words", "javascript:alert(1)", "ws://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/", "http:127.0.0.1:{port}", "http:///127.0.0.1:{port}", "http://", "http://:{port}/",
    "http://127.0.0.1:99999/", "http://127.0.0.1:{port}\r\nHost: x/", "http://[127.0.0.1]:{port}/", "http://[::1:{port}/",
    "netdoc:///etc/passwd", "url:http://127.0.0.1:{port}/", "http://127.0.0.1:22/", "http://site.test:6379/",
)  # fmt: skip


def payloads(port: int) -> list[str]:
    return [f"http://{host}:{port}/x" for host in HOSTS] + [text.replace("{port}", str(port)) for text in OTHER_SCHEMES]


def refused(fetch: Fetcher, url: str) -> str:
    with pytest.raises(BadDocument) as failure:
        fetch.fetch(url)
    return failure.value.reason


def test_no_payload_reaches_an_internal_address(canary: Canary, site: Site) -> None:
    urls = payloads(canary.port)
    assert len(urls) >= 60
    for url in urls:
        assert refused(fetcher(canary, site, timeout_s=0.5), url) in {"forbidden", "unreadable", "timeout"}, url
        assert canary.visits() == 0, url


def test_no_redirect_reaches_one_either(canary: Canary, site: Site) -> None:
    urls = [url for url in payloads(canary.port) if not any(sign < " " for sign in url)]
    site.redirects = {f"r{number}": url for number, url in enumerate(urls)}
    site.redirects |= {"scheme-relative": f"//127.0.0.1:{canary.port}/x", "empty": ""}
    fetch = fetcher(canary, site, timeout_s=1.0)
    for name, target in site.redirects.items():
        with contextlib.suppress(BadDocument):
            content = fetch.fetch(f"http://site.test:{site.port}/{name}")
            assert content == b"# Words of the site", target  # a relative one, on the same site
        assert canary.visits() == 0, target


def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_that_is_used(canary: Canary, site: Site) -> None:
    lookup = LyingLookup()
    assert refused(fetcher(canary, site, lookup=lookup), f"http://rebinding.test:{canary.port}/") == "forbidden"
    assert lookup.asked == ["rebinding.test"]
    assert canary.visits() == 0


def test_an_allowed_host_is_read_and_followed_three_times(canary: Canary, site: Site) -> None:
    site.redirects = {"a": "/b", "b": "c", "c": f"http://site.test:{site.port}/d", "four": "/a"}
    fetch = fetcher(canary, site)
    assert fetch.fetch(f"http://site.test:{site.port}/a") == b"# Words of the site"
    assert refused(fetch, f"http://site.test:{site.port}/four") == "unreadable"
    assert refused(fetch, f"http://site.test:{site.port}/missing") == "unreadable"


def test_size_and_time_are_bounded(canary: Canary, site: Site) -> None:
    assert refused(fetcher(canary, site), f"http://site.test:{site.port}/endless") == "too_large"
    assert refused(fetcher(canary, site, timeout_s=0.3), f"http://site.test:{site.port}/slow") == "timeout"


def test_what_is_packed_stays_packed_for_the_sandbox(canary: Canary, site: Site) -> None:
    source = UrlSource(url=f"http://site.test:{site.port}/packed", fetcher=fetcher(canary, site))
    assert gzip.decompress(source.read()) == b"# Packed"
    assert source.identity == f"url:{source.name}"


def test_a_network_can_be_allowed(canary: Canary, site: Site) -> None:
    rules = AddressRules(allowed=("127.0.0.0/8",), ports=(site.port,))
    fetch = Fetcher(rules=rules, max_bytes=MAX_BYTES, timeout_s=5.0, lookup=LyingLookup())
    assert fetch.fetch(f"http://loopback.test:{site.port}/") == b"# Words of the site"
    assert refused(fetch, f"http://six.test:{site.port}/") == "forbidden"
