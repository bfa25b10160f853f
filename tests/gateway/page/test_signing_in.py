"""A server that wants a key: asked for, checked, kept for the tab or on wish in the browser, forgotten at the end."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from penstock.catalog.keys import Keys, hash_of
from penstock.gateway.keys import KeyAuthenticator
from tests.gateway.page.conftest import MakeLive, Open, picture
from tests.gateway.world import Live

SECRET = b"s" * 32
REFUSED = ("401",)


class Guarded:
    """A server that wants keys, and two of them: one of the tenant with documents, one of another."""

    def __init__(self, live: Live, authenticator: KeyAuthenticator, keys: Keys) -> None:
        self.live, self._authenticator, self._keys = live, authenticator, keys

    async def key(self, tenant: str = "default", *scopes: Any) -> str:
        made, token = await self._keys.create(secret=SECRET, scopes=scopes or ("read", "write"), tenant=tenant)
        self.last = made.id
        await self._authenticator.refresh()
        return token

    async def revoke(self) -> None:
        await self._keys.revoke(self.last)
        await self._authenticator.refresh()


class Lazy:
    keys: Keys

    async def every(self) -> Any:
        return await self.keys.every()


@pytest.fixture
async def guarded(make_live: MakeLive) -> Guarded:
    lazy = Lazy()
    authenticator = KeyAuthenticator(keys=lazy, hash_of=partial(hash_of, secret=SECRET))
    live = await make_live(authenticator=authenticator)
    lazy.keys = Keys(database=live.world._database)
    return Guarded(live, authenticator, lazy.keys)


async def sign_in(page: Any, token: str) -> None:
    await page.fill("dialog #key", token)
    await page.keyboard.press("Enter")


async def test_a_key_is_asked_for_checked_and_used(guarded: Guarded, open_page: Open) -> None:
    token = await guarded.key()
    page = await open_page(guarded.live, expected=REFUSED, viewport={"width": 1280, "height": 720})
    await page.wait_for_selector("dialog #key")
    await picture(page, "page-sign-in")

    await sign_in(page, "psk_wrong")
    await page.wait_for_selector("dialog .say:has-text('does not take this key')")
    await sign_in(page, token)
    await page.wait_for_selector("#who:has-text('Signed in')")
    assert token[:12] in await page.inner_text("#who")
    await page.click("#ask")
    await page.wait_for_selector(".foot")
    assert "1,233" in await page.inner_text(".answer")

    assert await page.evaluate("localStorage.getItem('penstock.key')") is None
    assert token not in await page.content()
    other = await page.context.new_page()  # another tab knows nothing of it
    await other.goto(guarded.live.url)
    await other.wait_for_selector("dialog #key")


async def test_a_remembered_key_is_forgotten_on_signing_out(guarded: Guarded, open_page: Open) -> None:
    token = await guarded.key()
    page = await open_page(guarded.live, expected=REFUSED)
    await page.check("dialog .tick input")
    await sign_in(page, token)
    await page.wait_for_selector("#who:has-text('Signed in')")
    assert await page.evaluate("localStorage.getItem('penstock.key')") == token

    await page.click("#who button")
    await page.click("dialog .danger")

    await page.wait_for_selector("dialog #key")
    kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert token not in kept


async def test_a_revoked_key_is_said_and_conversations_stay_with_their_key(guarded: Guarded, open_page: Open) -> None:
    mine = await guarded.key()
    page = await open_page(guarded.live, expected=REFUSED)
    await sign_in(page, mine)
    await page.wait_for_selector("#who:has-text('Signed in')")
    await page.click("#ask")
    await page.wait_for_selector(".foot")

    await guarded.revoke()
    await page.fill("#question", "Again?")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("dialog .say:has-text('revoked or have expired')")
    theirs = await guarded.key("somebody else")
    await sign_in(page, theirs)

    await page.wait_for_selector("#who:has-text('Signed in')")
    await page.wait_for_selector("#empty:not([hidden])")
    assert await page.locator("#conversations li").count() == 0


async def test_a_key_that_may_only_read_says_so(guarded: Guarded, open_page: Open) -> None:
    token = await guarded.key("default", "read")
    page = await open_page(guarded.live, expected=(*REFUSED, "403"))
    await sign_in(page, token)
    await page.wait_for_selector("#who:has-text('Signed in')")

    await page.click("#go-documents")
    await page.click("#store-list a")
    await page.wait_for_selector(".file.completed")
    await page.set_input_files("#files", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"Text."})

    await page.wait_for_selector(".upload.failed .why:has-text('Your key may not do this')")
