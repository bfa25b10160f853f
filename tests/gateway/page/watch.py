"""What a browser does behind a page's back: every connection, every name it looks up, every request, every script."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BROWSERS_OWN = ("google.com", "googleapis.com")
"""Chromium itself looks for updates and accounts there, whatever page it shows; no attack of ours goes there."""


class Canary:
    """A listener that the browser is told every other host stands for. Nobody has a reason to call it."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._called, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def arguments(self) -> tuple[str, ...]:
        nowhere = ", ".join(f"MAP *.{domain} ~NOTFOUND" for domain in BROWSERS_OWN)
        return (f"--host-resolver-rules={nowhere}, MAP * 127.0.0.1:{self.port}, EXCLUDE 127.0.0.1",)

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls.append(b"connected")
        try:
            async with asyncio.timeout(1.0):
                self.calls[-1] = await reader.read(2000)
        except (TimeoutError, ConnectionError):
            pass
        writer.close()


class PageWatch:
    """Requests, dialogs, errors and refused attempts of one page."""

    def __init__(self, page: Any) -> None:
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self._page = page
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: self.dialogs.append(dialog.message))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)

    async def begin(self) -> None:
        """From the first script on, note what the policy refuses: a page that tries nothing has nothing refused."""
        await self._page.add_init_script(
            "window.refused = []; document.addEventListener('securitypolicyviolation', "
            "(event) => window.refused.push(event.violatedDirective + ' ' + event.blockedURI));"
        )

    async def ran(self) -> bool:
        return bool(await self._page.evaluate("Boolean(window.ran)")) or "ran" in await self._page.title()

    async def refused(self) -> list[str]:
        return list(await self._page.evaluate("window.refused || []"))


def hosts_in(net_log: Path) -> set[str]:
    """Every host that stands in the browser's own log of its network: looked up, connected to, or asked."""
    text = net_log.read_text(encoding="utf-8", errors="replace")
    events = json.loads(text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}")["events"]
    found: set[str] = set()
    for event in events:
        for name in ("host", "url"):
            value = event.get("params", {}).get(name)
            if isinstance(value, str):
                found.add(urlsplit(value if "://" in value else f"//{value}").hostname or "")
    found -= {"", "~notfound"}  # data: and about:; where BROWSERS_OWN were sent
    return {host for host in found if not host.endswith(BROWSERS_OWN)}
