"""The page in a real browser: asked by keyboard, streamed, cited, stopped; and nothing of a document's is ever run.

With PENSTOCK_SCREENSHOTS=FOLDER the tests also leave pictures there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.handbook import HANDBOOK
from tests.gateway.world import Live, Scripted

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright_api = pytest.importorskip("playwright.async_api") if os.environ.get("CI") != "true" else None
if playwright_api is None:
    from playwright import async_api as playwright_api
if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("no chromium here: run scripts/install-test-tools", allow_module_level=True)

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


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    assert CHROMIUM is not None, "CI needs chromium: scripts/install-test-tools"
    async with playwright_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(browser: Any) -> AsyncIterator[Open]:
    """Opens the page of a server; fails the test when the page logs an error or calls another address."""
    wrong: list[str] = []

    async def open_at(live: Live, path: str = "/", **options: Any) -> Any:
        context = await browser.new_context(**options)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if request.url.startswith(live.url) else wrong.append(request.url))
        await page.goto(live.url + path)
        return page

    yield open_at
    assert wrong == []


@pytest.fixture
async def handbook(make_live: Callable[..., Awaitable[Live]]) -> Live:
    live = await make_live(example_question=QUESTION)
    await live.world.add("handbook", HANDBOOK)
    return live


async def picture(page: Any, name: str) -> None:
    folder = os.environ.get("PENSTOCK_SCREENSHOTS")
    if folder:
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def test_asked_by_keyboard_the_answer_cites_and_the_passage_opens(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, viewport={"width": 1200, "height": 720})

    assert await page.input_value("#question") == QUESTION
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".foot")

    answer = await page.inner_text(".answer")
    assert "surge tank" in answer or "water hammer" in answer
    # On a wide screen the first cited passage is beside the answer, its quoted sentence marked.
    marked = await page.inner_text("#passage mark >> nth=0")
    assert marked in answer.replace("\n", " ")
    assert await page.inner_text("#pane-title") == "Passage 1 of 8"
    await picture(page, "page-light")

    await page.keyboard.press("Escape")
    assert await page.is_hidden("#pane")
    await page.focus(".cite")
    await page.keyboard.press("Enter")
    assert await page.is_visible("#pane")
    assert await page.get_attribute(".cite >> nth=0", "aria-pressed") == "true"
    asked_for = await page.locator("#passage mark:not(.other)").all_inner_texts()
    assert asked_for == [marked]  # the sentence of this citation, and of no other
    assert await page.evaluate("document.activeElement.id") == "pane-title"
    await page.click("#next")
    assert (await page.inner_text("#pane-title")).startswith("Passage 2")
    await page.click("#close")
    assert await page.evaluate("document.activeElement.className") == "cite"


async def test_timings_are_there_on_demand_and_the_page_is_dark_where_asked(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, viewport={"width": 1200, "height": 720}, color_scheme="dark")
    await page.click("#ask")
    await page.wait_for_selector(".foot")

    assert not await page.is_visible(".bars")
    await page.click(".timing summary")

    assert (await page.inner_text(".bars")).split("\n")[::2][:3] == ["embed", "search", "generate"]
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(15, 21, 23)"
    await picture(page, "page-dark")


async def test_it_says_so_when_the_documents_do_not_answer(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, "/?q=Who+painted+the+ceiling+of+a+chapel%3F")

    await page.click("#ask")
    await page.wait_for_selector(".turn.abstained .foot")

    assert "do not carry an answer" in await page.inner_text(".say")
    assert await page.is_hidden("#pane")


async def test_only_the_picked_stores_are_asked(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook)
    await page.click("#picker summary")
    await page.uncheck("#stores label:has-text('handbook') input")
    assert await page.inner_text("#picker-label") == "rivers"

    await page.fill("#question", "How long is the Rhine?")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".foot")

    assert "1,233" in await page.inner_text(".answer")
    await page.click(".foot button:has-text('passages')")
    titles = await page.locator("#passages li span").all_inner_texts()
    assert sorted(titles) == ["The Danube", "The Elbe", "The Rhine"]


async def test_the_answer_streams_and_stop_stops_the_engine(
    make_live: Callable[..., Awaitable[Live]], open_page: Open
) -> None:
    live = await make_live(engine=Scripted(words=[f"word{n} " for n in range(1000)], pause_s=0.02), first="scripted")
    page = await open_page(live)

    await page.keyboard.press("Enter")
    await page.wait_for_selector(".answer:has-text('word2')")
    assert await page.is_visible(".busy")
    await page.click("#stop")
    await page.wait_for_selector(".say")

    await live.world.engine.closed.wait()
    assert live.world.engine.spoken < 1000
    assert "Stopped." in await page.inner_text(".say")
    assert "word2" in await page.inner_text(".answer")
    assert await page.is_visible("#ask")


async def test_an_error_is_said(make_live: Callable[..., Awaitable[Live]], open_page: Open) -> None:
    live = await make_live(engine=Scripted(ends=False), first="scripted")
    page = await open_page(live)

    await page.click("#ask")
    await page.wait_for_selector(".say.bad")

    assert "stopped before its answer was complete" in await page.inner_text(".say.bad")
    assert await page.inner_text(".answer") == "One two three"


async def test_without_documents_it_says_what_to_do(make_live: Callable[..., Awaitable[Live]], open_page: Open) -> None:
    live = await make_live(empty=True)
    page = await open_page(live)
    await page.wait_for_selector("#empty:not([hidden])")

    assert "penstock up" in await page.inner_text("#empty")
    await live.world.add("late", HANDBOOK)
    await page.wait_for_selector("#empty", state="hidden")  # it notices by itself


async def test_narrow_screens_do_not_scroll_sideways(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, viewport={"width": 360, "height": 700})
    await page.click("#ask")
    await page.wait_for_selector(".foot")
    assert await page.is_hidden("#pane")

    await page.click(".cite >> nth=0")

    assert await page.is_visible("#passage mark >> nth=0")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


POISON = [
    "<img src=http://evil.invalid/a.png onerror=\"document.title='run'\">",
    "![x](http://evil.invalid/b.png)",
    "<script>document.title='run'</script>",
    "[click](javascript:document.title='run')",
    "<svg onload=\"document.title='run'\"><use href='http://evil.invalid/c.svg#x'/></svg>",
    "<style>body{background:url(http://evil.invalid/d.png)}</style>",
    "<iframe src='http://evil.invalid/'></iframe>",
    "\ue0001\ue001 [1] [99] `<b>` **<i>**\n\n- <u>\n\n```\n<script>\n```",
]


async def test_nothing_out_of_an_answer_or_a_document_is_run_or_fetched(
    make_live: Callable[..., Awaitable[Live]], open_page: Open
) -> None:
    live = await make_live(engine=Scripted(words=[f"{line}\n\n" for line in POISON]), first="scripted")
    await live.world.add("poison", {f"<b>{n}</b>.md": (f"<i>{n}</i>", line, {}) for n, line in enumerate(POISON)})
    page = await open_page(live)

    await page.keyboard.press("Enter")
    await page.wait_for_selector(".foot")
    await page.click(".foot button:has-text('passages')")
    while await page.is_enabled("#next"):
        await page.click("#next")

    shown = await page.inner_text(".answer")
    assert POISON[0] in shown
    assert POISON[2] in shown
    inside = await page.evaluate(
        "[...document.querySelectorAll('.answer *, #pane *')].map(node => node.tagName.toLowerCase())"
    )
    assert not set(inside) & {"img", "script", "svg", "style", "iframe", "a", "u", "i", "use"}
    assert re.fullmatch("Penstock", await page.title())
