"""The reference at /docs: served under the page's policy, made from the description, and it can send requests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.page.conftest import MakeLive, Open, picture

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "penstock" / "gateway" / "reference"
NAMES = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in NAMES)])
@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_served_with_a_strict_policy(reader: httpx.AsyncClient, path: str) -> None:
    response = await reader.get(path)

    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_nothing_from_elsewhere_and_makes_no_markup_of_text(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")

    assert not re.search(r"https?://|//[a-z]+\.[a-z]|url\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(", text)


async def test_every_operation_is_there_and_can_be_tried(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live()
    page: Any = await open_page(live, "/docs")
    described = await (await page.request.get(f"{live.url}/openapi.json")).json()
    count = sum(len(methods) for methods in described["paths"].values())

    await page.locator("details.operation").nth(count - 1).wait_for()
    assert await page.locator("details.operation").count() == count

    await page.locator("#filter").press_sequentially("post responses")
    await page.wait_for_function("document.querySelectorAll('details.operation:not([hidden])').length === 1")
    await page.keyboard.press("Tab")  # to its link in the index
    await page.keyboard.press("Enter")
    operation = page.locator("#createResponse")
    await operation.get_by_text("previous_response_id").first.wait_for()
    await operation.locator("textarea").fill('{"input": "How long is the Rhine?", "tools": null}')
    await operation.get_by_role("button", name="Send").click()
    await operation.get_by_text("200 ·").wait_for()
    await picture(page, "reference")
    assert "1,233" in await operation.locator("pre.answer").inner_text()

    await operation.locator("textarea").fill('{"input": "How long is the Rhine?", "stream": true}')
    await operation.get_by_role("button", name="Send").click()
    await operation.get_by_text("event: response.completed").wait_for()


async def test_a_file_can_be_uploaded_from_it(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live()
    page: Any = await open_page(live, "/docs#createFile")

    operation = page.locator("#createFile")
    await operation.locator("input[type=file]").set_input_files(
        {"name": "a.txt", "mimeType": "text/plain", "buffer": b"Some text."}
    )
    await operation.get_by_role("button", name="Send").click()
    await operation.get_by_text("200 ·").wait_for()

    assert '"filename": "a.txt"' in await operation.locator("pre.answer").inner_text()
