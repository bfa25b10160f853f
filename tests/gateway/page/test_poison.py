"""Two hundred poisoned documents, a model that obeys every one of them, and a browser that shows the answers.

Nothing leaves the browser, no script runs, and nothing is cited that was not found. PENSTOCK_POISON sets how many.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.generate.openai import OpenAIGenerator
from penstock.generate.packed import PackedGenerator
from penstock.generate.prompt.pack import Packer
from penstock.generate.prompt.template import Templates
from penstock.generate.tokens import Estimate
from tests.gateway.page.attacks import FORMS, attacks
from tests.gateway.page.conftest import Launch, MakeLive
from tests.gateway.page.obedient import ObedientModel
from tests.gateway.page.watch import Canary, PageWatch, hosts_in
from tests.gateway.world import Live

NUMBER = int(os.environ.get("PENSTOCK_POISON", "200"))
TURNS = 5
"""Questions in one conversation."""
SECRET = "zanzibarquokka"
KINDS = {
    *("P", "H3", "H4", "H5", "H6", "UL", "OL", "LI", "BLOCKQUOTE", "HR", "BR", "PRE", "CODE", "STRONG", "EM", "DEL"),
    *("DIV", "TABLE", "THEAD", "TBODY", "TR", "TH", "TD", "SPAN", "BUTTON", "B", "SMALL", "BDI", "MARK", "SECTION"),
    *("SVG", "PATH"),
}  # fmt: skip
"""Of nodes that may come out of an answer or a document."""
FACTS = """() => {
  const inside = [...document.querySelectorAll('.answer *, .sources ol *, #passage *, #passages *, .turn > h2 *')];
  const named = (node) => [...node.attributes].map((each) => each.name);
  return {
    kinds: [...new Set(inside.map((node) => node.tagName.toUpperCase()))],
    attributes: [...new Set(inside.flatMap(named))],
    cites: [...document.querySelectorAll('.cite')].map((node) => Number(node.dataset.number)),
    answers: [...document.querySelectorAll('.answer')].map((node) => node.textContent),
  };
}"""
TURNS_KEPT = """() => new Promise((resolve) => {
  const request = indexedDB.open('penstock', 1);
  request.onsuccess = () => {
    const all = request.result.transaction('conversations').objectStore('conversations').getAll();
    all.onsuccess = () => resolve(all.result.flatMap((each) => each.turns).map((turn) => ({
      asked: turn.asked, state: turn.state,
      cited: (turn.annotations || []).map((each) => each.file_citation.file_id),
      found: turn.info ? turn.info.passages.map((passage) => passage.file_id) : [],
    })));
  };
})"""


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    canary = Canary()
    await canary.start()
    yield canary
    await canary.stop()


@pytest.fixture
async def obedient() -> AsyncIterator[ObedientModel]:
    model = ObedientModel()
    await model.start()
    yield model
    await model.stop()


@pytest.fixture
async def poisoned(make_live: MakeLive, obedient: ObedientModel, canary: Canary) -> AsyncIterator[Live]:
    """A gateway whose only documents are poisoned, before a model that obeys them."""
    engine = OpenAIGenerator(model="obedient", url=obedient.url)
    await engine.start()
    packed = PackedGenerator(engine=engine, packer=Packer(templates=Templates(), tokens=Estimate(), key=b"k"))
    live = await make_live(engine=packed, first="obedient", empty=True)
    documents = {
        attack.filename: (attack.title, attack.text, {"<img src=x>": "![x](http://evil.test)"})
        for attack in attacks(NUMBER, port=canary.port)
    }
    await live.world.add("<img src=//evil.test onerror=window.ran=1>", documents)
    foreign = {f"{attack.word}.md": ("foreign", f"{attack.word} {SECRET}", {}) for attack in attacks(20, port=1)}
    await live.world.add("foreign", foreign, tenant="somebody")
    yield live
    await engine.stop()


async def ask_all(page: Any) -> dict[str, set[Any]]:
    """Ask for every poisoned document, and gather what is on the page; every now and then begin a new conversation."""
    seen: dict[str, set[Any]] = {"kinds": set(), "attributes": set(), "cites": set(), "answers": set()}
    for n in range(NUMBER):
        await page.fill("#question", f"poison{n}x")
        await page.keyboard.press("Enter")
        await page.wait_for_selector(f".turn:nth-of-type({n % TURNS + 1}) .foot")
        if n % TURNS == TURNS - 1 or n == NUMBER - 1:
            for name, values in (await page.evaluate(FACTS)).items():
                seen[name] |= set(values)
            await page.evaluate("location.hash = '#/'")
            await page.wait_for_selector("#welcome:visible")
    return seen


async def test_nothing_of_two_hundred_poisoned_answers_is_run_fetched_or_wrongly_cited(
    poisoned: Live, obedient: ObedientModel, canary: Canary, launch: Launch, tmp_path: Path
) -> None:
    browser = await launch(*canary.arguments, f"--log-net-log={tmp_path / 'net.json'}")
    page = await browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(30_000)
    watch = PageWatch(page)
    await watch.begin()
    await page.goto(f"{poisoned.url}/")

    seen = await ask_all(page)
    kept = await page.evaluate(TURNS_KEPT)
    await page.goto(f"{poisoned.url}/#/documents")
    await page.wait_for_selector("#store-list .name")
    await page.click("#store-list a")
    await page.wait_for_selector(".file.completed")
    await page.hover(".file .name >> nth=1")
    ran, refused = await watch.ran(), await watch.refused()
    await browser.close()

    assert obedient.answers == NUMBER
    assert [turn["state"] for turn in kept] == ["done"] * NUMBER
    # Nothing went out: no connection, no look-up, no request but the page's own, and nothing that was only refused.
    assert canary.calls == []
    assert hosts_in(tmp_path / "net.json") == {"127.0.0.1"}
    ours = (f"{poisoned.url}/ui/", f"{poisoned.url}/v1/", f"{poisoned.url}/")
    assert [
        url for url in watch.requests if not url.startswith(ours) or "poison" in url.partition("/v1/files")[2]
    ] == []
    assert refused == []
    # Nothing ran.
    assert not ran
    assert (watch.dialogs, watch.errors) == ([], [])
    assert seen["kinds"] <= KINDS
    assert not {name for name in seen["attributes"] if name.startswith("on")}
    assert not seen["attributes"] & {
        "href",
        "src",
        "srcset",
        "style",
        "action",
        "formaction",
        "data",
        "background",
        "srcdoc",
    }
    # Only what was found is cited, and the delimiter stays ours.
    assert all(set(turn["cited"]) <= set(turn["found"]) for turn in kept)
    assert any(turn["cited"] for turn in kept)
    assert seen["cites"] <= set(range(1, 9))
    said = "\n".join(seen["answers"])
    assert sum(f"poison{n}x" in said for n in range(NUMBER)) == NUMBER  # it did obey
    assert SECRET not in said
    assert not any(delimiter in said for delimiter in obedient.delimiters)


async def test_the_watch_sees_what_a_careless_page_does(canary: Canary, launch: Launch, tmp_path: Path) -> None:
    """The same documents as markup: the listener is called, scripts run, and the browser's log has the hosts."""
    net_log = tmp_path / "net.json"
    browser = await launch(*canary.arguments, f"--log-net-log={net_log}")
    careless = await browser.new_page()
    watch = PageWatch(careless)

    texts = [attack.text for attack in attacks(len(FORMS), port=canary.port) if "refresh" not in attack.text]
    await careless.set_content("\n".join(texts), wait_until="domcontentloaded")
    await careless.wait_for_timeout(500)
    ran = await watch.ran()
    await browser.close()

    assert ran
    assert canary.calls
    assert [url for url in watch.requests if "evil.test" in url]
    assert any(host.endswith("evil.test") for host in hosts_in(net_log))
