"""Who calls, when keys are in use: looked up in memory, kept in step with the catalog.

As long as there has never been a key, everybody on this machine's loopback is the tenant `default`. From the first key
on each request needs one; that all keys were revoked or have expired opens nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.types import Scope

from penstock.core.errors import PenstockError, Unauthenticated
from penstock.core.types import Principal
from penstock.flow.lifecycle import Tasks
from penstock.gateway.auth import Authenticator, Loopback

log = logging.getLogger("penstock.keys")

LOOK_EVERY_S = 2.0
"""How old what is known of keys may be; with the time of a look at the catalog it stays below five seconds."""
MOST_RIGHT = 1024
BEARER = b"bearer "


class KnownKey(Protocol):
    """What must be known of a key to let its owner in."""

    @property
    def hash(self) -> bytes: ...

    @property
    def principal(self) -> Principal: ...

    def valid_until_s(self) -> float: ...


class KeyCatalog(Protocol):
    """Where keys are kept."""

    async def every(self) -> Sequence[KnownKey]: ...


class KeyAuthenticator:
    """`start` reads the keys, and then looks for new and revoked ones until `stop`."""

    def __init__(
        self, *, keys: KeyCatalog, hash_of: Callable[[bytes], bytes], now_s: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._hash_of = hash_of
        self._now_s = now_s
        self._known: dict[bytes, tuple[bytes, Principal, float]] = {}
        self._right: dict[bytes, tuple[bytes, Principal, float]] = {}
        """Headers that were right since the last look: hashing takes longer than most of what comes after it."""
        self._required = False
        self._without: Authenticator = Loopback()
        self._tasks = Tasks(name="keys", on_death=_log_death)

    @property
    def required(self) -> bool:
        """Whether a key is needed; once it is, it stays so."""
        return self._required

    async def start(self) -> None:
        await self.refresh()
        self._tasks.start("refresh", self._refresh_forever())

    async def stop(self) -> None:
        await self._tasks.stop()

    async def refresh(self) -> None:
        """Read the keys as they are now."""
        keys = await self._keys.every()
        self._known = {key.hash: (key.hash, key.principal, key.valid_until_s()) for key in keys}
        self._right = {}
        self._required = self._required or bool(keys)

    def authenticate(self, scope: Scope) -> Principal:
        """Raises Unauthenticated; without keys, Forbidden."""
        if not self._required:
            return self._without.authenticate(scope)
        for name, value in scope["headers"]:
            if name == b"authorization":
                return self._owner(value)
        raise Unauthenticated("A key is needed, in the header 'Authorization: Bearer KEY'.")

    def _owner(self, header: bytes) -> Principal:
        # No guess is ever in here, and dictionaries find things by a hash that is keyed too.
        right = self._right.get(header)
        if right is not None and self._now_s() < right[2]:
            return right[1]
        if header[: len(BEARER)].lower() == BEARER:
            # What is looked up is a keyed hash: how long the look-up takes tells nothing that a guesser could use.
            hashed = self._hash_of(header[len(BEARER) :].strip())
            known = self._known.get(hashed)
            if known is not None and hmac.compare_digest(known[0], hashed) and self._now_s() < known[2]:
                if len(self._right) < MOST_RIGHT:
                    self._right[header] = known
                return known[1]
        raise Unauthenticated("The key is not valid.")

    async def _refresh_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.refresh()
            except PenstockError:
                # Stale keys would let revoked ones in: with no news nobody is let in.
                self._known = self._right = {}
                log.exception("keys cannot be read; nobody is let in until they can")


def _log_death(name: str, error: BaseException) -> None:
    log.error("task %s died", name, exc_info=error)
