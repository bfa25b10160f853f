"""A real browser. With PENSTOCK_SCREENSHOTS=FOLDER the tests also leave pictures there."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.handbook import HANDBOOK
from tests.gateway.world import Live

QUESTION = "How does a penstock survive water hammer?"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

Open = Callable[..., Awaitable[Any]]
MakeLive = Callable[..., Awaitable[Live]]
Launch = Callable[..., Awaitable[Any]]


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    """Starts Chromium, with more arguments where a test wants them."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if os.environ.get("CI") != "true":
        pytest.importorskip("playwright.async_api")
        if found is None:
            pytest.skip("no chromium here: run scripts/install-test-tools")
    assert found is not None, "CI needs chromium: scripts/install-test-tools"
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browsers: list[Any] = []

        async def start(*arguments: str) -> Any:
            browsers.append(await playwright.chromium.launch(executable_path=found, args=[*QUIET, *arguments]))
            return browsers[-1]

        yield start
        for browser in browsers:
            await browser.close()


@pytest.fixture
async def open_page(launch: Launch) -> AsyncIterator[Open]:
    """Opens the page of a server; fails the test when the page logs an error or calls another address.

    The browser itself logs answers that are errors: a test that wants one has words of that line in `expected`.
    """
    browser = await launch()
    wrong: list[str] = []

    async def open_at(live: Live, path: str = "/", *, expected: tuple[str, ...] = (), **options: Any) -> Any:
        def note(message: Any) -> None:
            if message.type == "error" and not any(words in message.text for words in expected):
                wrong.append(message.text)

        context = await browser.new_context(**options)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", note)
        page.on("request", lambda request: None if request.url.startswith(live.url) else wrong.append(request.url))
        await page.goto(live.url + path)
        return page

    yield open_at
    assert wrong == []


@pytest.fixture
async def handbook(make_live: MakeLive) -> Live:
    live = await make_live(example_question=QUESTION)
    await live.world.add("handbook", HANDBOOK)
    return live


async def picture(page: Any, name: str) -> None:
    folder = os.environ.get("PENSTOCK_SCREENSHOTS")
    if folder:
        await page.wait_for_timeout(250)  # for what fades in
        await page.screenshot(path=Path(folder) / f"{name}.png")
