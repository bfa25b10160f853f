"""`penstock reembed`: another encoder for a store that is there."""

from __future__ import annotations

import sys
import time

from penstock.cli.session import OWNER, Session
from penstock.pipeline.reembed import Reembedded

LINE_EVERY_S = 10.0


async def reembed(session: Session, name: str, *, drop_former: bool) -> int:
    """Encode the store's passages with `embed.model` and switch to them, or remove what a switch has left."""
    async with session.assembled(encoder=not drop_former) as penstock:
        store = await penstock.stores.get(OWNER.tenant, name)
        if drop_former:
            dropped = penstock.drop_former(store)
            sys.stderr.write(f"{store.name}: {dropped} former indexes removed; it answers with {store.embedder}\n")
            return 0
        view = _Lines(store.name)
        done = await penstock.reembed(store, session.context(priority="ingestion"), report=view.update)
        sys.stderr.write(
            f"{store.name}: {done.files} files, {done.encoded} passages encoded, {done.kept} files were there already. "
            f"It answers with {penstock.embedder.model} now; the former index is kept until `--drop-former`.\n"
        )
    return 0


class _Lines:
    """A line on standard error now and then."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began_s = self._line_s = time.monotonic()

    def update(self, done: Reembedded) -> None:
        now_s = time.monotonic()
        if now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            rate = done.encoded / (now_s - self._began_s)
            sys.stderr.write(f"{self._title}: {done.files} files, {done.encoded} passages, {rate:.0f} a second\n")
