"""A real browser. With PENSTOCK_SCREENSHOTS=FOLDER the tests also leave pictures there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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
START_S = 60.0

Open = Callable[..., Awaitable[Any]]
MakeLive = Callable[..., Awaitable[Live]]
Launch = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if os.environ.get("CI") != "true":
        pytest.importorskip("playwright.async_api")
        if found is None:
            pytest.skip("no chromium here: run scripts/install-test-tools")
    assert found is not None, "CI needs chromium: scripts/install-test-tools"
    return found


@pytest.fixture
async def launch(chromium: str) -> AsyncIterator[Launch]:
    """Starts a browser of the test's own, with more arguments."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browsers: list[Any] = []

        async def start(*arguments: str) -> Any:
            browsers.append(await playwright.chromium.launch(executable_path=chromium, args=[*QUIET, *arguments]))
            return browsers[-1]

        yield start
        for browser in browsers:
            await browser.close()


@pytest.fixture(scope="package")
def running_browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One browser for all tests, because its start takes longer than most of them. Returns where it is spoken to."""
    profile = tmp_path_factory.mktemp("profile")
    arguments = [*QUIET, "--headless", "--hide-scrollbars", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    with subprocess.Popen([chromium, *arguments, "about:blank"], stderr=subprocess.DEVNULL) as process:
        listening = profile / "DevToolsActivePort"
        until_s = time.monotonic() + START_S
        while not (listening.exists() and listening.read_text().count("\n")):
            assert process.poll() is None, "the browser died"
            assert time.monotonic() < until_s, "the browser does not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listening.read_text().split()[0]}"
        process.terminate()


@pytest.fixture
async def browser(running_browser: str) -> AsyncIterator[Any]:
    """The one browser. What a test sees of it is a context of its own, without cookies or storage of others."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(running_browser)
        yield browser
        await browser.close()  # only the connection


@pytest.fixture
async def open_page(browser: Any) -> AsyncIterator[Open]:
    """Opens the page of a server; fails the test when the page logs an error or calls another address.

    The browser itself logs answers that are errors: a test that wants one has words of that line in `expected`.
    """
    wrong: list[str] = []
    contexts: list[Any] = []

    async def open_at(live: Live, path: str = "/", *, expected: tuple[str, ...] = (), **options: Any) -> Any:
        def note(message: Any) -> None:
            if message.type == "error" and not any(words in message.text for words in expected):
                wrong.append(message.text)

        context = await browser.new_context(**options)
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", note)
        page.on("request", lambda request: None if request.url.startswith(live.url) else wrong.append(request.url))
        await page.goto(live.url + path)
        return page

    yield open_at
    for context in contexts:
        await context.close()
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
