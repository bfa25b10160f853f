"""Stores and files: made, filled by dropping or choosing, watched until they are read, deleted; and signing in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.packed import PackedGenerator
from penstock.generate.prompt.pack import Packer
from penstock.generate.prompt.template import Templates
from penstock.generate.tokens import Estimate
from tests.gateway.page.conftest import MakeLive, Open, picture
from tests.gateway.world import Live
from tests.uploads import PlainReader

WEIR = (
    b"A weir holds the river back.\nThe weir at Schwarzbach is 4.5 metres high.\nFish climb it by a ladder of pools.\n"
)
PAPERS = [
    "Minutes 2026-10.docx",
    "Water rights.html",
    "Scan of the drawings.pdf",
    "Turbine inspection.pdf",
    "Manual.md",
]
DROP = """([names, text]) => {
  const transfer = new DataTransfer();
  for (const name of names) transfer.items.add(new File([text], name, { type: 'text/plain' }));
  const zone = document.querySelector('.drop');
  for (const type of ['dragenter', 'dragover', 'drop']) {
    zone.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture
async def fake() -> AsyncIterator[FakeLLM]:
    fake = FakeLLM(
        behaviour=Behaviour(answer="The weir is 4.5 metres high [1]. " + "It is told at length. " * 40, token_ms=12)
    )
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def live(make_live: MakeLive, fake: FakeLLM) -> AsyncIterator[Live]:
    """An empty server in front of an engine with slots."""
    engine = OpenAIGenerator(model="fake", url=fake.url)
    await engine.start()
    packed = PackedGenerator(engine=engine, packer=Packer(templates=Templates(), tokens=Estimate(), key=b"k"))
    yield await make_live(engine=packed, first="fake", empty=True, example_question="How high is the weir?")
    await engine.stop()


async def make_store(page: Any, name: str) -> None:
    await page.click("#go-documents")
    await page.click("button:has-text('New store')")
    await page.fill("#dialog-name", name)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(f".head h1:has-text('{name}')")


async def test_from_an_empty_server_to_a_cited_answer_and_back(live: Live, fake: FakeLLM, open_page: Open) -> None:
    page = await open_page(live, viewport={"width": 1280, "height": 800}, expected=("404",))
    await make_store(page, "rivers & weirs")

    # Dropped files are uploaded and read.
    await page.evaluate(DROP, [["weir.md", "notes.txt"], WEIR.decode()])
    await page.wait_for_selector(".file.completed >> nth=1")
    assert await page.locator(".file .pill").all_inner_texts() == ["Ready", "Ready"]
    await page.wait_for_selector(".head .quiet:has-text('2 ready')")

    # The answer streams in; stopped, it frees the engine's slot.
    await page.click("#go-new")
    await page.click("#ask")
    await page.wait_for_selector(".answer:has-text('metres')")
    assert await page.is_visible("#stop")
    assert fake.slots_in_use == 1
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".say:has-text('Stopped.')")
    await fake.until(lambda: fake.slots_in_use == 0)
    assert fake.seen[0].end == "cut"

    # Asked again it comes whole; its citation opens the sentence in its place.
    fake.behaviour = Behaviour(answer="The weir is 4.5 metres high [1].")
    await page.click(".retry")
    await page.wait_for_selector(".sources")
    await page.click(".cite")
    assert await page.inner_text("#passage mark") == "The weir at Schwarzbach is 4.5 metres high."
    assert await page.is_visible("#passage mark")

    # A reload finds it again; a deleted file is gone, and the old passage says so.
    await page.reload()
    await page.wait_for_selector(".sources")
    await page.click("#go-documents")
    await page.click("#store-list a")
    for left in (1, 0):
        await page.click(".file [aria-label^='Delete'] >> nth=0")
        await page.click("dialog .danger")
        await page.wait_for_selector(f".head .quiet:has-text('{left} ready')")
    await page.click("#conversations a")
    await page.click(".cite")
    await page.wait_for_selector("#passage .say:has-text('no longer there')")
    assert (await page.inner_text("#passage mark")).startswith("The weir at Schwarzbach")


async def test_a_long_document_is_shown_round_the_passage(live: Live, open_page: Open) -> None:
    page = await open_page(live, viewport={"width": 1280, "height": 800}, expected=("404",))
    await make_store(page, "long")
    lines = [
        f"Part {n} tells of pool number {n}, which is deep and dark and full of small green fish." for n in range(60)
    ]
    lines[30] = "The weir at Schwarzbach is 4.5 metres high, and the water falls over it day and night all the year."
    await page.set_input_files(
        "#files", {"name": "long.md", "mimeType": "text/plain", "buffer": "\n".join(lines).encode()}
    )
    await page.wait_for_selector(".file.completed")
    await page.click("#go-new")
    await page.select_option("#model", "penstock-extractive")
    await page.fill("#question", "How high is the weir at Schwarzbach?")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".sources")

    await page.wait_for_selector("#passage .around >> nth=1")
    before = await page.locator("#passage .around").count()
    await page.click(".more:has-text('Later')")
    assert await page.locator("#passage .around").count() > before
    texts = await page.locator("#passage .text").all_inner_texts()
    numbers = [int(word) for text in texts for word in text.replace(",", " ").split() if word.isdigit()]
    assert numbers == sorted(numbers)  # in the document's order
    assert "Schwarzbach" in await page.inner_text("#passage .here mark")
    await picture(page, "page-passage")


async def test_states_failures_and_what_to_do_about_them(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(empty=True)
    gate = asyncio.Event()
    reader = PlainReader(gate=gate)
    live.world.uploads.work._preparing._make_reader = lambda _: reader
    page = await open_page(live)
    await make_store(page, "states")
    files = [("good.txt", WEIR), ("broken.pdf", b"broken"), ("empty.txt", b"")]
    await page.set_input_files(
        "#files", [{"name": name, "mimeType": "text/plain", "buffer": body} for name, body in files]
    )

    await page.wait_for_selector(".pill:has-text('Reading')")
    gate.set()
    await page.wait_for_selector(".file.failed")
    await page.wait_for_selector(".file.completed")

    assert "It is damaged. It says so itself." in await page.inner_text(".file.failed:has-text('broken.pdf')")
    await page.click(".filters button:has-text('Failed')")
    await page.wait_for_selector(".file.completed", state="detached")
    await page.click("[aria-label='Read broken.pdf again']")
    await page.wait_for_selector(".file.failed:has-text('broken.pdf')")
    # What is at rest is not asked for again and again.
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url))
    async with asyncio.timeout(30):
        while True:
            before = len(calls)
            await page.wait_for_timeout(2000)  # longer than the page ever waits while something is being read
            if len(calls) == before:
                break


async def test_an_upload_that_is_refused_says_why_and_the_others_go_on(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(empty=True)
    page = await open_page(live, expected=("400", "413"))
    await make_store(page, "limits")
    bad = "x" * 300 + ".txt"
    await page.set_input_files(
        "#files", [{"name": name, "mimeType": "text/plain", "buffer": WEIR} for name in (bad, "one.txt", "two.txt")]
    )

    await page.wait_for_selector(".upload.failed .why")
    await page.wait_for_selector(".file.completed >> nth=1")

    assert "255" in await page.inner_text(".upload.failed .why")
    await page.click("[aria-label^='Do not upload']")
    await page.wait_for_selector(".upload", state="detached")


async def test_attributes_and_groups_are_shown_and_stores_renamed_and_deleted(live: Live, open_page: Open) -> None:
    page = await open_page(live)
    await make_store(page, "old name")
    store = (await live.world.stores.list("default"))[0]
    await page.evaluate(
        """async (id) => {
          const form = new FormData();
          form.append('purpose', 'assistants');
          form.append('file', new File(['The weir is high.'], 'tagged.txt'));
          const file = await (await fetch('/v1/files', { method: 'POST', body: form })).json();
          const body = JSON.stringify({ file_id: file.id, attributes: { year: 2026 }, groups: ['board'] });
          const headers = { 'Content-Type': 'application/json' };
          await fetch(`/v1/vector_stores/${id}/files`, { method: 'POST', body, headers });
        }""",
        store.id,
    )
    await page.reload()
    await page.wait_for_selector(".file.completed")
    assert await page.locator(".file .tag").all_inner_texts() == ["year: 2026", "board"]

    await page.click("[aria-label='Rename the store']")
    await page.fill("#dialog-name", "new name")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".head h1:has-text('new name')")
    await page.click("[aria-label='Delete the store']")
    assert "1 file will be found and cited no more" in await page.inner_text("dialog")
    await page.click("dialog .danger")

    await page.wait_for_selector("#store-list .none")
    assert await live.world.stores.list("default") == []


async def test_many_files_at_once(live: Live, open_page: Open) -> None:
    names = [f"log {n:02}.txt" for n in range(19)] + PAPERS
    files = [
        {
            "name": name,
            "mimeType": "text/plain",
            "buffer": b"broken" if name.startswith("Scan") else b"%d\n%b" % (n, WEIR),
        }
        for n, name in enumerate(names)
    ]
    page = await open_page(live, viewport={"width": 1280, "height": 800})
    await make_store(page, "Schwarzbach plant")

    await page.set_input_files("#files", files)
    await page.wait_for_selector(".pill.busy")
    await page.wait_for_selector(".head .quiet:has-text('24 files · 23 ready · 1 failed')", timeout=60_000)

    await page.wait_for_selector(".file.completed >> nth=22")
    await page.wait_for_selector(".upload", state="detached")
    await picture(page, "page-documents")
