"""Everybody can use it: narrow screens, keyboard alone, names for every control, contrast, less motion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.page.conftest import Open, picture
from tests.gateway.world import Live

# ruff: noqa: E501 - scripts for the browser
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255); };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { const above = []; for (let at = node; at; at = at.parentElement) above.push(rgba(getComputedStyle(at).backgroundColor)); return above.reverse().reduce((below, top) => over(top, below), [1, 1, 1]); };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || node.closest(':disabled, .visually-hidden, .skip')) continue;
    const style = getComputedStyle(node), back = behind(node), ink = over(rgba(style.color), back);
    const [high, low] = [light(ink), light(back)].sort((a, b) => b - a);
    found.push([(high + 0.05) / (low + 0.05), `${node.tagName}.${node.className}: ${node.textContent.slice(0, 30)}`]);
  }
  return found;
}"""
UNNAMED = """() => [...document.querySelectorAll('button, a, input, textarea, select, dialog, nav, aside')]
  .filter((node) => node.checkVisibility() && node.type !== 'hidden')
  .filter((node) => {
    const label = node.getAttribute('aria-label') || (node.getAttribute('aria-labelledby') || '').split(' ').map((id) => document.getElementById(id)?.textContent).join('');
    return !(label || node.textContent || (node.labels && [...node.labels].map((each) => each.textContent).join(''))).trim();
  }).map((node) => node.outerHTML.slice(0, 80))"""


async def answered(page: Any) -> None:
    await page.wait_for_selector("#picker:visible")
    await page.click("#ask")
    await page.wait_for_selector(".foot")
    await page.click(".timing summary")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_and_every_control_has_a_name(handbook: Live, open_page: Open, scheme: str) -> None:
    page = await open_page(handbook, color_scheme=scheme, viewport={"width": 1280, "height": 900})
    await answered(page)
    seen = 0
    for view in ("", "#/documents"):
        if view:
            await page.click("#go-documents")
            await page.click("#store-list a >> nth=1")
            await page.wait_for_selector(".file.completed")
        texts = await page.evaluate(CONTRAST)
        seen += len(texts)
        assert [text for text in texts if text[0] < 4.5] == []
        assert await page.evaluate(UNNAMED) == []
        ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
        assert len(ids) == len(set(ids))
    assert seen > 60


async def test_narrow_screens_do_not_scroll_sideways(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, viewport={"width": 360, "height": 720}, has_touch=True, is_mobile=True)

    async def fits() -> bool:
        return bool(await page.evaluate("document.documentElement.scrollWidth") <= 360)

    await answered(page)
    assert await page.is_hidden("#pane")
    assert await fits()
    await page.click(".timing summary")
    await picture(page, "page-narrow")
    await page.click(".cite >> nth=0")
    await page.wait_for_selector("#passage mark")
    assert await fits()
    await page.click("#close")

    await page.wait_for_selector("#rail", state="hidden")
    await page.click("#menu")
    await page.wait_for_selector("#go-documents:visible")
    await page.wait_for_selector("#go-new:focus")
    assert await page.evaluate("document.getElementById('stage').inert")
    await page.keyboard.press("Escape")
    await page.wait_for_selector("#menu:focus")
    await page.click("#menu")
    await page.click("#go-documents")
    await page.click("#store-list a >> nth=1")
    await page.wait_for_selector(".file.completed")
    assert await fits()
    await page.wait_for_selector("#rail", state="hidden")  # it slides


async def test_the_whole_way_by_keyboard(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, viewport={"width": 1280, "height": 800})
    press = page.keyboard.press

    async def tab_to(selector: str, most: int = 60) -> None:
        for _ in range(most):
            await press("Tab")
            if await page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none"  # one sees where one is
                return
        raise AssertionError(selector)

    await press("Enter")  # the question has the focus
    await page.wait_for_selector(".foot")
    await tab_to(".cite")
    await press("Enter")
    await page.wait_for_selector("#pane-title:focus")
    await tab_to("#next")
    await press("Enter")
    await press("Escape")
    await page.wait_for_selector(".cite:focus")
    await tab_to("#conversations [aria-label^='Rename']")
    await press("Enter")
    await page.keyboard.type("By hand")
    await press("Enter")
    await page.wait_for_selector("#conversations a:has-text('By hand')")
    await page.focus("#go-documents")
    await press("Enter")
    await page.wait_for_selector("#store-list li")
    await tab_to(".head .main")
    await press("Enter")
    await page.keyboard.type("made by hand")
    await press("Enter")
    await page.wait_for_selector("h1:has-text('made by hand')")
    await tab_to("#files")


async def test_answers_are_announced_and_motion_is_left_out_where_unwanted(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, reduced_motion="reduce")
    await page.click("#ask")
    await page.wait_for_selector(".foot")

    assert await page.get_attribute("#status", "role") == "status"
    assert (await page.inner_text("#status")).startswith("Answered, with")
    assert await page.get_attribute(".answer", "aria-live") == "polite"
    animated = await page.evaluate(
        "[...document.querySelectorAll('*')].filter((node) => getComputedStyle(node).animationName !== 'none').length"
    )
    assert animated == 0
