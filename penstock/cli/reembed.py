"""`penstock reembed`: another encoder for a store that is there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from penstock.cli.session import OWNER, Session
from penstock.core.types import Store
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
        done = await penstock.moving(report=Lines(_say).update).move(store)
        sys.stderr.write(
            f"{store.name}: {done.files} files, {done.encoded} passages encoded, {done.kept} files were there already. "
            f"It answers with {penstock.encoders.newest.model} now; the former index is kept until `--drop-former`.\n"
        )
    return 0


class Lines:
    """A line for each store now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._store_id = ""
        self._began_s = self._line_s = 0.0

    def update(self, store: Store, done: Reembedded) -> None:
        now_s = time.monotonic()
        if store.id != self._store_id:
            self._store_id, self._began_s, self._line_s = store.id, now_s, now_s
        if now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            rate = done.encoded / (now_s - self._began_s)
            self._say(f"{store.name}: {done.files} files, {done.encoded} passages, {rate:.0f} a second")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
