"""The page's files: served under a strict policy, and nothing in them comes from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import httpx
import pytest

from tests.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).resolve().parents[3]
UI = ROOT / "penstock" / "gateway" / "ui"
OURS = sorted(
    path for path in UI.rglob("*.*") if path.suffix in {".js", ".css", ".html", ".svg"} and path.parent != UI / "vendor"
)
NAMES = sorted(str(path.relative_to(UI)) for path in UI.rglob("*.*") if path.suffix in {".js", ".css", ".html", ".svg"})
MOST_LINES = 260


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["/", *(f"/ui/{name}" for name in NAMES)])
async def test_they_are_served_with_a_strict_policy(reader: httpx.AsyncClient, path: str) -> None:
    response = await reader.get(path)

    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "trusted-types 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-dns-prefetch-control"] == "off"
    again = await reader.get(response.url.path, headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["", "nothing.js", "../app.py", "%2e%2e/app.py", "vendor", "vendor/marked.LICENSE.txt"]
)
async def test_nothing_else_is_served(reader: httpx.AsyncClient, name: str) -> None:
    assert (await reader.get(f"/ui/{name}")).status_code == 404


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(UI)))
async def test_ours_need_nothing_from_elsewhere_and_make_no_markup_of_text(path: Path) -> None:
    text = text_of(path).replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"https?://|//[a-z]+\.[a-z]|url\(", text)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|\beval\b|Function\(|\.html\(", text
    )
    assert text.count("\n") <= MOST_LINES


async def test_the_page_has_no_inline_code_and_names_each_style() -> None:
    page = text_of(UI / "index.html")

    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", page)
    assert set(re.findall(r'href="/ui/(style/\w+\.css)"', page)) == {name for name in NAMES if name.endswith(".css")}


async def test_every_script_is_used_and_every_import_leads_somewhere() -> None:
    imported = {"main.js"}
    for path in OURS:
        if path.suffix == ".js":
            for target in re.findall(r'from "\./([^"]+)"', text_of(path)):
                assert (UI / target).is_file(), f"{path.name} imports {target}"
                imported.add(target)
    assert imported == {name for name in NAMES if name.endswith(".js")}


async def test_vendored_code_is_what_its_authors_published() -> None:
    page = text_of(ROOT / "docs" / "dependencies.md")
    for path in (UI / "vendor").iterdir():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.name in page
        assert digest in page, f"docs/dependencies.md has another hash for {path.name}"


async def test_the_example_is_filled_in(reader: httpx.AsyncClient, shared: World) -> None:
    example = shared.settings.server.example_question

    assert f'data-example="{example}"' in (await reader.get("/?q=else")).text
