"""Asking in a real browser: by keyboard, streamed, cited, stopped, timed; and what is said where it goes wrong."""

from __future__ import annotations

from penstock.core.errors import Overloaded, RateLimited
from tests.gateway.handbook import HANDBOOK
from tests.gateway.page.conftest import QUESTION, MakeLive, Open, picture
from tests.gateway.world import Live, Scripted


async def test_asked_by_keyboard_the_answer_cites_and_the_passage_opens(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, viewport={"width": 1280, "height": 720})

    assert await page.input_value("#question") == QUESTION
    await page.wait_for_selector("#welcome-count:has-text('documents to ask')")
    await picture(page, "page-welcome")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".foot")

    answer = await page.inner_text(".answer")
    assert "surge tank" in answer or "water hammer" in answer
    # On a wide screen the first cited passage is beside the answer, its quoted sentence marked.
    marked = await page.inner_text("#passage mark >> nth=0")
    assert marked in answer.replace("\n", " ")
    assert await page.inner_text("#pane-title") == "Passage 1 of 8"
    assert "water-hammer.md" in await page.inner_text(".sources")
    await picture(page, "page-light")

    await page.keyboard.press("Escape")
    await page.wait_for_selector("#pane", state="hidden")
    await page.focus(".cite")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#pane")
    assert await page.get_attribute(".cite >> nth=0", "aria-pressed") == "true"
    asked_for = await page.locator("#passage mark:not(.other)").all_inner_texts()
    assert asked_for == [marked]  # the sentence of this citation, and of no other
    await page.wait_for_selector("#pane-title:focus")
    await page.click("#next")
    assert (await page.inner_text("#pane-title")).startswith("Passage 2")
    await page.click("#close")
    await page.wait_for_selector(".cite:focus")


async def test_timings_are_there_on_demand_and_the_page_is_dark_where_asked(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, viewport={"width": 1280, "height": 720}, color_scheme="dark")
    await page.click("#ask")
    await page.wait_for_selector(".foot")

    assert not await page.is_visible(".bars")
    await page.click(".timing summary")

    assert (await page.locator(".bars dt").all_inner_texts())[:3] == ["embed", "search", "generate"]
    assert "written" in await page.inner_text(".timing")  # tokens
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(15, 21, 23)"
    await picture(page, "page-dark")


async def test_it_says_so_when_the_documents_do_not_answer(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook, "/?q=Who+painted+the+ceiling+of+a+chapel%3F")

    await page.click("#ask")
    await page.wait_for_selector(".turn.abstained .foot")

    assert "do not carry an answer" in await page.inner_text(".say")
    assert await page.is_hidden("#pane")


async def test_only_the_picked_stores_are_asked_also_after_a_reload(handbook: Live, open_page: Open) -> None:
    page = await open_page(handbook)
    await page.click("#picker summary")
    await page.uncheck("#stores label:has-text('handbook') input")
    await page.reload()
    await page.wait_for_selector("#picker-label:has-text('rivers')")

    await page.fill("#question", "How long is the Rhine?")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".foot")

    assert "1,233" in await page.inner_text(".answer")
    await page.click(".foot button:has-text('passages')")
    titles = await page.locator("#passages li span").all_inner_texts()
    assert sorted(titles) == ["The Danube", "The Elbe", "The Rhine"]


async def test_the_picked_model_answers(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(engine=Scripted(words=["From ", "the ", "other."]))
    page = await open_page(live)

    await page.select_option("#model", "scripted")
    await page.click("#ask")
    await page.wait_for_selector(".foot")

    assert await page.inner_text(".answer") == "From the other."
    assert "scripted" in await page.inner_text(".foot")


async def test_the_answer_streams_and_stop_stops_the_engine(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(engine=Scripted(words=[f"word{n} " for n in range(1000)], pause_s=0.02), first="scripted")
    page = await open_page(live)

    await page.keyboard.press("Enter")
    await page.wait_for_selector(".answer:has-text('word2')")
    assert await page.is_visible(".busy")
    assert await page.get_attribute(".answer", "aria-busy") == "true"
    await page.click("#stop")
    await page.wait_for_selector(".say")

    await live.world.engine.closed.wait()
    assert live.world.engine.spoken < 1000
    assert "Stopped." in await page.inner_text(".say")
    assert "word2" in await page.inner_text(".answer")
    assert await page.get_attribute(".answer", "aria-busy") == "false"
    assert await page.is_visible("#ask")


async def test_an_answer_that_breaks_off_is_said_and_what_came_stays(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(engine=Scripted(ends=False), first="scripted")
    page = await open_page(live)

    await page.click("#ask")
    await page.wait_for_selector(".say.bad")

    assert "broke off" in await page.inner_text(".say.bad")
    assert await page.inner_text(".answer") == "One two three"


async def test_a_busy_server_is_asked_again_on_a_click_when_it_said(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(
        engine=Scripted(words=[], fails=RateLimited("Slow down.", retry_after_s=2.0)), first="scripted"
    )
    page = await open_page(live, expected=("429",))

    await page.click("#ask")
    again = page.locator(".say .again")
    await again.wait_for()
    assert "a lot in a short time" in await page.inner_text(".say.bad")
    assert await again.is_disabled()
    assert "Try again in" in await again.inner_text()  # counts down
    live.world.engine.fails, live.world.engine.words = None, ["Now", " then."]
    await page.click(".say .again:enabled")
    await page.wait_for_selector(".foot:has-text('scripted')")

    assert await page.inner_text(".answer") == "Now then."
    assert await page.locator(".turn").count() == 1
    assert await page.locator(".say").count() == 0


async def test_an_overloaded_server_and_a_server_that_is_gone(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(engine=Scripted(words=[], fails=Overloaded("Full.", retry_after_s=1.0)), first="scripted")
    page = await open_page(live, expected=("503", "DISCONNECTED"))
    await page.click("#ask")
    await page.wait_for_selector(".say:has-text('busy or starting')")

    await page.context.set_offline(True)
    await page.click(".say .again:enabled")

    await page.wait_for_selector(".say:has-text('cannot be reached')")


async def test_without_documents_it_says_what_to_do(make_live: MakeLive, open_page: Open) -> None:
    live = await make_live(empty=True)
    page = await open_page(live)
    await page.wait_for_selector("#empty:not([hidden])")

    assert "penstock up" in await page.inner_text("#empty")
    await live.world.add("late", HANDBOOK)
    await page.wait_for_selector("#empty", state="hidden")  # it notices by itself


async def test_the_markdown_of_an_answer_is_shown(make_live: MakeLive, open_page: Open) -> None:
    words = [
        "### Title\n\nSome **bold**, *leaning*, ~~gone~~ and `code` &amp; more.\n\n",
        "| a | b |\n|---|--:|\n| 1 | 2 |\n\n3. three\n4. four\n   - [x] done\n\n> said\n\n```py\nx[0] = '<b>'\n```\n\n",
        "A [link](https://example.com/path?a=1) and ![a picture](https://example.com/p.png), ⟦7⟧.\n",
    ]
    live = await make_live(engine=Scripted(words=words), first="scripted")
    page = await open_page(live)
    await page.click("#ask")
    await page.wait_for_selector(".foot")

    for selector, text in {
        "h5": "Title", "strong": "bold", "em": "leaning", "del": "gone", "p code": "code", "thead th >> nth=1": "b",
        "tbody td >> nth=1": "2", "ol[start='3'] > li >> nth=1": "four", "blockquote": "said", "pre": "x[0] = '<b>'",
        ".picture": "Picture, not loaded: a picture (https://example.com/p.png)",
    }.items():  # fmt: skip
        assert text in await page.inner_text(f".answer {selector}")
    assert "& more" in await page.inner_text(".answer")
    assert "⟦7⟧" in await page.inner_text(".answer")
    assert await page.locator(".answer a").count() == 0
    await page.click(".answer .out")
    assert await page.inner_text("dialog .target") == "https://example.com/path?a=1"
    follow = page.locator("dialog a")
    assert await follow.get_attribute("rel") == "noopener noreferrer nofollow"
    await page.keyboard.press("Escape")
    await page.wait_for_selector("dialog", state="detached")
    await page.wait_for_selector(".answer .out:focus")
