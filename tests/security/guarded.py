"""A gateway that asks for keys, two tenants behind it, and everything of one of them marked with words to look for."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

from penstock.catalog.keys import Keys, Scope, hash_of
from penstock.gateway.keys import KeyAuthenticator
from tests.gateway.world import World
from tests.security.calling import NO_BODY, Body, Seen, as_form, as_json, call

SECRET = b"s" * 32
EVERYTHING: tuple[Scope, ...] = ("read", "write", "admin")
CANARY = "zanzibarquokka"
"""In every name, text, attribute and question of the victim's."""
GROUP_CANARY = "boardroomaxolotl"
"""In what only the victim's board may find."""

Ids = dict[str, str]
"""Path parameter -> id."""


class Guarded:
    """The world, its keys by caller, and the ids of what the tenants own."""

    def __init__(self, *, folder: Path) -> None:
        authenticator = KeyAuthenticator(keys=self, hash_of=partial(hash_of, secret=SECRET))
        self.world = World(folder=folder, authenticator=authenticator)
        self._authenticator = authenticator
        self._keys = Keys(database=self.world._database)
        self.tokens: dict[str, str | None] = {"none": None}
        self.victim: Ids = {}
        self.intruder: Ids = {}

    async def every(self) -> Any:
        return await self._keys.every()

    async def start(self) -> None:
        await self.world.start()
        await self._key("owner", tenant="victim", groups=("board",))
        await self._key("other user", tenant="victim", groups=("staff",))
        await self._key("other tenant", tenant="intruder")
        await self._key("server's owner", tenant="default")
        await self._key("read-only", "read", tenant="victim", groups=("board",))
        await self._key("expired", tenant="victim", expires_s=time.time() - 1)
        await self._key("revoked", tenant="victim")
        await self._keys.revoke((await self._keys.every())[-1].id)
        await self._authenticator.refresh()
        self.victim = await self.furnish("owner", CANARY, groups=["board"], secret=GROUP_CANARY)
        self.intruder = await self.furnish("other tenant", "plainwords", groups=None, secret="nothing")

    async def stop(self) -> None:
        await self.world.stop()

    async def _key(self, caller: str, *scopes: Scope, **what: Any) -> None:
        _, token = await self._keys.create(secret=SECRET, scopes=scopes or EVERYTHING, name=caller, **what)
        self.tokens[caller] = token

    async def ask(self, caller: str, method: str, target: str, body: Body = NO_BODY) -> Seen:
        return await call(self.world.app, method, target, token=self.tokens[caller], body=body)

    async def made(self, caller: str, target: str, body: Body) -> Any:
        """The object that this POST makes."""
        seen = await self.ask(caller, "POST", target, body)
        assert seen.status == 200, (target, seen.body)
        return seen.json()

    async def furnish(self, caller: str, word: str, *, groups: list[str] | None, secret: str) -> Ids:
        """One of everything, marked with the word; and a file that only the groups may find."""
        store = await self.made(caller, "/v1/vector_stores", as_json({"name": word, "metadata": {"note": word}}))
        path = f"/v1/vector_stores/{store['id']}/files"
        text = f"The {word} lives on the {word} island. It eats {word} leaves."
        file = await self.upload(caller, f"{word}.txt", text)
        await self.made(caller, path, as_json({"file_id": file, "attributes": {"mark": word}}))
        secret_file = await self.upload(caller, f"{word}-minutes.txt", f"The {secret} decides on the {secret} budget.")
        attached = {"file_id": secret_file, "attributes": {"mark": word}} | ({"groups": groups} if groups else {})
        await self.made(caller, path, as_json(attached))
        for each in (file, secret_file):
            await self.completed(caller, f"{path}/{each}")
        batched = as_json({"file_ids": [file], "attributes": {"mark": word}})
        batch = await self.made(caller, f"/v1/vector_stores/{store['id']}/file_batches", batched)
        search = [{"type": "file_search", "vector_store_ids": [store["id"]]}]
        response = await self.made(caller, "/v1/responses", as_json({"input": f"Where is {word}?", "tools": search}))
        whole = {"filename": f"{word}.txt", "purpose": "assistants", "bytes": 10, "mime_type": "text/plain"}
        upload, spare = [await self.made(caller, "/v1/uploads", as_json(whole)) for _ in range(2)]
        part = as_form({}, ("blob", b"0123456789"), field="data")
        sent = await self.made(caller, f"/v1/uploads/{upload['id']}/parts", part)
        return {
            "response_id": response["id"],
            "upload_id": upload["id"],
            "spare_upload_id": spare["id"],
            "part_id": sent["id"],
            "model": "scripted",
            "vector_store_id": store["id"],
            "file_id": file,
            "batch_id": batch["id"],
            "store_name": word,
            "secret_file_id": secret_file,
        }

    async def upload(self, caller: str, name: str, text: str) -> str:
        file = await self.made(caller, "/v1/files", as_form({"purpose": "assistants"}, (name, text.encode())))
        return str(file["id"])

    async def completed(self, caller: str, path: str) -> None:
        async with asyncio.timeout(30):
            while (state := (await self.ask(caller, "GET", path)).json()["status"]) == "in_progress":
                await asyncio.sleep(0.01)
        assert state == "completed"
