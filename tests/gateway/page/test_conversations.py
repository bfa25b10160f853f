"""Conversations: several turns, kept in the browser, found again after a reload, renamed, deleted."""

from __future__ import annotations

from tests.gateway.page.conftest import MakeLive, Open
from tests.gateway.world import Live, Scripted

RHINE = "How long is the Rhine?"


async def ask(page, text: str) -> None:
    turns = await page.locator(".turn").count()
    await page.fill("#question", text)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(f".turn:nth-of-type({turns + 1}) .foot")


async def test_turns_follow_each_other_and_are_sent_along(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(engine=Scripted(words=["It is long."]), first="scripted")
    page = await open_page(live)

    await ask(page, "First?")
    await ask(page, "Second?")

    assert await page.locator(".turn > h2").all_inner_texts() == ["First?", "Second?"]
    sent = live.world.engine.prompts[-1].messages
    assert [(message.role, message.content) for message in sent] == [("user", "First?"), ("assistant", "It is long.")]


async def test_a_reload_finds_everything_again(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook)
    await ask(page, RHINE)
    answer = await page.inner_text(".answer")

    await page.reload()
    await page.wait_for_selector(".foot")

    assert await page.inner_text(".answer") == answer
    await page.click(".source")
    assert "1,233" in " ".join(await page.locator("#passage mark").all_inner_texts())
    assert await page.locator("#conversations a").all_inner_texts() == [RHINE]


async def test_an_answer_cut_off_by_a_reload_says_so_and_can_be_asked_again(
    make_live: MakeLive, open_page: Open
) -> None:
    engine = Scripted(words=[f"word{n} " for n in range(1000)], pause_s=0.02)
    live = await make_live(engine=engine, first="scripted")
    page = await open_page(live)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".answer:has-text('word90')")  # what came so far is kept every now and then

    await page.reload()
    await page.wait_for_selector(".say:has-text('Interrupted')")

    await engine.closed.wait()  # the engine's slot is free
    assert "word2" in await page.inner_text(".answer")
    engine.words, engine.pause_s = ["Whole."], 0.0
    await page.click(".retry")
    await page.wait_for_selector(".answer:has-text('Whole.')")
    assert await page.locator(".say").count() == 0


async def test_conversations_are_listed_opened_renamed_and_deleted(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook)
    await ask(page, RHINE)
    await page.click("#go-new")
    await page.wait_for_selector("#welcome:visible")
    await ask(page, "How long is the Danube?")
    listed = page.locator("#conversations a")
    assert await listed.all_inner_texts() == ["How long is the Danube?", RHINE]

    await page.click(f"#conversations a:has-text('{RHINE}')")
    await page.wait_for_selector(f".turn > h2:has-text('{RHINE}')")
    assert await page.get_attribute("#conversations a[aria-current]", "href") == await listed.nth(1).get_attribute(
        "href"
    )
    await page.click(f"[aria-label='Rename {RHINE}']")
    await page.fill("#dialog-name", "About <i>rivers</i>")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#conversations a:has-text('About <i>rivers</i>')")
    await page.reload()
    await page.click("[aria-label='Delete About <i>rivers</i>']")
    await page.click("dialog .danger")

    await page.wait_for_selector("#welcome:visible")
    assert await listed.all_inner_texts() == ["How long is the Danube?"]


async def test_an_answer_goes_on_while_another_conversation_is_read(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(engine=Scripted(words=["slow "] * 60, pause_s=0.02), first="scripted")
    page = await open_page(live)
    await page.fill("#question", "Slow one")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".answer:has-text('slow')")

    await page.click("#go-documents")
    await page.wait_for_selector("#store-list li")
    await page.click("#conversations a")

    await page.wait_for_selector(".foot")
    assert (await page.inner_text(".answer")).count("slow") == 60
