"""Files of the caller's stores as resources: what was read of a file, or one passage of it."""

from __future__ import annotations

from urllib.parse import quote, unquote

import msgspec

from penstock.catalog.listing import Page
from penstock.core.errors import InvalidRequest, NotFound
from penstock.core.types import FileRecord, Principal
from penstock.gateway.directory import stores_meant, used
from penstock.pipeline.question import groups_of
from penstock.pipeline.uploads import Uploads

SCHEME = "penstock:"
TEMPLATE = "penstock:{vector_store_id}/{file_id}"
PAGE = 100


class Listed(msgspec.Struct, frozen=True):
    """A file that can be read."""

    uri: str
    record: FileRecord
    store: str


class Resources:
    """Everything is looked up in the caller's tenant; what is for other groups reads as if it were not there."""

    def __init__(self, *, uploads: Uploads) -> None:
        self._uploads = uploads

    async def page(self, principal: Principal, cursor: str | None) -> tuple[list[Listed], str | None]:
        """Files of all stores, store by store, and where the next page begins. Raises InvalidRequest."""
        stores = sorted(await stores_meant(self._uploads.stores, principal, None), key=lambda store: store.id)
        begin, _, after = (cursor or "").partition("/")
        if cursor is not None and begin not in {store.id for store in stores}:
            raise InvalidRequest("The cursor is not out of an earlier page.", param="cursor")
        listed: list[Listed] = []
        for store in stores:
            if store.id < begin:
                continue
            page = Page(
                limit=PAGE - len(listed),
                newest_first=False,
                after=(after or None) if store.id == begin else None,
                shown="completed",
                groups=groups_of(principal),
            )
            records, has_more = await self._uploads.attachments.page(store.id, page)
            listed += [Listed(f"{SCHEME}{store.id}/{quote(record.file_id)}", record, store.name) for record in records]
            if has_more or len(listed) >= PAGE:
                return listed, f"{store.id}/{listed[-1].record.file_id}"
        return listed, None

    async def read(self, principal: Principal, uri: str) -> str:
        """The text at an address. Raises NotFound."""
        place, _, fragment = uri.removeprefix(SCHEME).partition("#")
        store_id, _, file_id = place.partition("/")
        if not uri.startswith(SCHEME) or not file_id:
            raise NotFound("resource", uri)
        store = await self._uploads.stores.get(principal.tenant, store_id)
        await used(self._uploads.stores, store)
        record = await self._uploads.attachments.row(store.id, unquote(file_id))
        groups = groups_of(principal)
        if groups is not None and record.groups and not set(groups) & set(record.groups):
            raise NotFound("file", record.file_id)
        index = await self._uploads.indexes.of(store)
        entries, _ = await index.entries_of(record.file_id)
        texts = [entry.chunk.text for entry in entries if not fragment or entry.chunk.id == unquote(fragment)]
        if not texts:
            raise NotFound("resource", uri)
        return "\n\n".join(texts)
